"""``youtu_onnx.export``: the whole way from a checkpoint to a verified bundle under its final name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.bundle import Bundle, Staging, names
from youtu_onnx.core.bundle.variants import Variants, share_equal_files
from youtu_onnx.core.errors import CheckpointError, ResourceError, UsageError, VerificationError, YoutuOnnxError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.core.recipe import Precision, Recipe
from youtu_onnx.core.target import target as target_called
from youtu_onnx.exporters.layouts import add_layout, check_layout
from youtu_onnx.families.checkpoint import Checkpoint

if TYPE_CHECKING:
    from youtu_onnx.verify.verify import Parity


@dataclass(frozen=True)
class Exported:
    """What an export made: the bundle at its final place, and its parity report (None with ``verify=False``)."""

    bundle: Bundle
    parity: Parity | None


def export(
    model: str,
    output: str | Path,
    *,
    precision: Precision = "int4",
    block_size: int | None = None,
    symmetric: bool = False,
    int8: tuple[str, ...] = (),
    target: str = "cpu",
    cache: str | None = None,
    max_length: int | None = None,
    layout: str | None = None,
    verify: bool = True,
    force: bool = False,
    revision: str | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Export a checkpoint to an ONNX bundle.

    Args:
        model: a checkpoint folder, a hub id, or ``youtu-nano``.
        output: the bundle's folder. It appears when everything in it is written and verified, and not before.
        precision, block_size, symmetric, int8: see :class:`youtu_onnx.core.recipe.Recipe`. No block size takes the target's.
        target: ``cpu``, ``cuda``, ``dml``, ``webgpu`` or ``mobile``.
        cache: ``latent`` (small, and what onnxruntime-genai opens), ``latent-int8`` (a quarter of it) or ``expanded`` (per-head
            keys and values). None takes the target's: for ``mobile`` that is ``latent-int8`` where the matrices are int4 or int8.
        max_length: tokens to reserve, for targets whose cache is static (``dml``): each step works on all of them. None takes
            4096, or the model's positions where it has fewer.
        layout: ``transformers.js`` adds the names under which that library looks for a model.
        verify: compare logits and greedy tokens with PyTorch before publishing.
        force: replace a bundle that is already there, and publish one that failed verification.
        revision, offline: for hub ids.
        progress: told of stages and bytes.

    Raises:
        UsageError, CheckpointError, ResourceError: nothing was published.
        VerificationError: the bundle does not compute what the checkpoint computes; nothing was published.
    """
    progress = progress or Silent()
    row = target_called(target)
    recipe = Recipe(precision, row.block_size if block_size is None else block_size, symmetric, tuple(int8))
    row.check_length(max_length)
    check_layout(layout, row)
    exporter = _exporter()
    with Staging(Path(output), force=force) as staging:
        progress.begin("checkpoint")
        checkpoint = Checkpoint.open(model, revision=revision, offline=offline)
        if not (checkpoint.path / names.TOKENIZER).is_file():
            raise CheckpointError(
                f"{checkpoint.path} has no {names.TOKENIZER}: a bundle could neither be verified nor talk",
                hint="download the checkpoint's tokenizer files beside its weights",
            )
        if block_size is None and row.even_blocks and recipe.precision == "int4" and not recipe.symmetric:
            recipe = recipe.with_even_blocks(checkpoint.architecture.hidden_size)
        form = cache or checkpoint.family.cache_form(recipe, row)
        assembly = exporter.assemble(checkpoint, recipe, row, form, progress, max_length)
        needs = exporter.needs(assembly, checkpoint, verified=verify)
        progress.note(f"needs {needs.memory / 1e9:.1f} GB of memory and {needs.disk / 1e9:.2f} GB of disk")
        _refuse_what_does_not_fit(needs.memory, needs.disk, staging.folder)
        manifest = exporter.write_bundle(assembly, checkpoint, recipe, row, staging.folder, progress)
        del assembly  # the graph, twice: verification needs the room
        parity = None
        if verify:
            (staging.folder / names.MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
            parity = _verified(staging.folder, checkpoint, progress, force)
            manifest = replace(manifest, verification=parity.to_dict())
        exporter.write_model_card(manifest, staging.folder)
        manifest = exporter.with_file(manifest, staging.folder / names.MODEL_CARD)
        manifest = add_layout(layout, manifest, staging.folder)
        progress.begin("publish")
        path = staging.publish(manifest)
    progress.finish()
    return Exported(Bundle(path, manifest), parity)


def export_several(
    model: str,
    output: str | Path,
    targets: Sequence[str],
    *,
    max_length: int | None = None,
    layout: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[Exported, ...]:
    """Export for several targets into one folder: a bundle for each, in a folder of its target's name. Files that come out
    equal lie on the disk once, where it has hard links.

    Args:
        max_length: for those of the targets whose cache is static.
        options: as :func:`export` has them, the same for all.

    Raises:
        As :func:`export` does; nothing was published unless all were.
    """
    rows = [target_called(name) for name in targets]
    if len(set(targets)) < len(targets):
        raise UsageError(f"a target is named twice in {', '.join(targets)}", hint="name each once")
    if max_length is not None and not any(row.static_cache for row in rows):
        rows[0].check_length(max_length)
    for row in rows:
        check_layout(layout, row)
    with Staging(Path(output), force=force, record=names.VARIANTS, kind="folder of bundles") as staging:
        made = [
            export(
                model,
                staging.folder / row.name,
                target=row.name,
                layout=layout,
                force=force,
                progress=progress,
                max_length=max_length if row.static_cache else None,
                **options,
            )
            for row in rows
        ]
        share_equal_files([one.bundle.path for one in made])
        path = staging.publish(Variants(staging.folder, tuple(targets)))
    return tuple(Exported(Bundle(path / row.name, one.bundle.manifest), one.parity) for row, one in zip(rows, made, strict=True))


def _exporter():
    try:
        from youtu_onnx.exporters import bundle_writer
    except ImportError as error:
        raise YoutuOnnxError(
            f"exporting needs packages that aren't installed ({error.name})", hint='pip install "youtu-onnx[export]"'
        ) from error
    return bundle_writer


def _verified(folder: Path, checkpoint: object, progress: Progress, force: bool) -> Parity:
    from youtu_onnx.verify.verify import verify_parity

    parity = verify_parity(folder, checkpoint, progress)
    if not parity.passed and not force:
        raise VerificationError(
            "the bundle does not compute what PyTorch computes; it was not published:\n  - " + "\n  - ".join(parity.faults),
            hint="use a smaller --block-size, --int8 for sensitive tensors, or a higher --precision; "
            "--force publishes it all the same",
        )
    return parity


def _refuse_what_does_not_fit(memory: int, disk: int, folder: Path) -> None:
    import psutil

    available, free = psutil.virtual_memory().available, shutil.disk_usage(folder).free
    if available < memory:
        raise ResourceError(
            f"this export needs about {memory / 1e9:.1f} GB of memory; {available / 1e9:.1f} GB are available",
            hint="close other programs, or export on a larger machine and copy the bundle here",
        )
    if free < disk:
        raise ResourceError(
            f"this export needs about {disk / 1e9:.2f} GB on the disk of {folder.parent}; {free / 1e9:.2f} GB are free",
            hint="free space, or choose an --output on another disk",
        )
