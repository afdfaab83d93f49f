"""Exports for one target or several with the same options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from youtu_onnx.core.bundle import Bundle, Staging, names
from youtu_onnx.core.bundle.variants import Variants, share_equal_files
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.target import target as target_called
from youtu_onnx.exporters.layouts import check_layout
from youtu_onnx.publish.adapter_refusals import refuse_static
from youtu_onnx.publish.exporting import Exported, export_bundle
from youtu_onnx.publish.options import ExportOptions


def export_to(
    model: str, output: str | Path, targets: Sequence[str], options: ExportOptions, progress: Progress | None = None
) -> tuple[Exported, ...]:
    """A bundle in the folder ``output`` where there is one target, else as :func:`export_several` makes them."""
    if len(targets) > 1:
        return export_several(model, output, targets, options, progress)
    [name] = targets
    return (export_bundle(model, Path(output), target_called(name), options, progress),)


def export_several(
    model: str,
    output: str | Path,
    targets: Sequence[str],
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> tuple[Exported, ...]:
    """Export for several targets into one folder: a bundle for each, in a folder of its target's name. Files that come out
    equal lie on the disk once, where it has hard links.

    Args:
        options: the same for all, but that ``max_length`` is for those of the targets whose cache is static.

    Raises:
        As :func:`export` does; nothing was published unless all were.
    """
    options = options or ExportOptions()
    wanted = [target_called(name) for name in targets]
    if len(set(targets)) < len(targets):
        raise UsageError(f"a target is named twice in {', '.join(targets)}", hint="name each once")
    if options.max_length is not None and not any(one.static_cache for one in wanted):
        wanted[0].check_length(options.max_length)
    if options.save_checkpoint is not None:
        raise UsageError("--save-checkpoint is for the weights of one target", hint="name one after --target")
    for target in wanted:
        check_layout(options.layout, target)
        if options.adapters.hot:
            refuse_static(target)
    growing = replace(options, max_length=None)
    with Staging(Path(output), force=options.force, record=names.VARIANTS, kind="folder of bundles") as staging:
        made = [
            export_bundle(
                model,
                staging.folder / one.name,
                one,
                options if one.static_cache else growing,
                progress,
                keep_beside=Path(f"{staging.final}-{one.name}"),
            )
            for one in wanted
        ]
        share_equal_files([one.bundle.path for one in made])
        path = staging.publish(Variants(staging.folder, tuple(targets)))
    return tuple(
        Exported(Bundle(path / target.name, one.bundle.manifest), one.parity) for target, one in zip(wanted, made, strict=True)
    )
