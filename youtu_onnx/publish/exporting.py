"""``youtu_onnx.export``: the whole way from a checkpoint to a verified bundle under its final name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from youtu_onnx.core import machine
from youtu_onnx.core.bundle import Bundle, Manifest, Staging, names
from youtu_onnx.core.errors import CheckpointError, ResourceError, VerificationError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.core.recipe import Algorithm, Precision, Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.core.target import target as target_called
from youtu_onnx.exporters.assemble import assemble
from youtu_onnx.exporters.bundle_writer import with_file, write_bundle
from youtu_onnx.exporters.carried import Carried
from youtu_onnx.exporters.layouts import add_layout, check_assembly, check_layout
from youtu_onnx.exporters.mixed import mixed
from youtu_onnx.exporters.model_card import write_model_card
from youtu_onnx.exporters.needs import Needs, needs_of
from youtu_onnx.exporters.refusals import refuse_misreadings
from youtu_onnx.exporters.rescaling import rescaled
from youtu_onnx.exporters.unfinished import Unfinished
from youtu_onnx.families.adapters.choice import MERGE, AdapterChoice
from youtu_onnx.families.adapters.merging import open_merged
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.publish.adapter_refusals import refuse_rescaled, refuse_static, refuse_unfit
from youtu_onnx.publish.adapters import with_adapters
from youtu_onnx.publish.calibrating import calibration_of, codes_key, sample
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.publish.prequantized import refuse_choices_that_are_made
from youtu_onnx.publish.saving import Saving
from youtu_onnx.verify.parity import Parity
from youtu_onnx.verify.verify import verify_parity

TOKENIZERS = (names.TOKENIZER, "tokenizer.model", "tiktoken.model", "vocab.json", "vocab.txt")
"""Files of which transformers makes a tokenizer; a checkpoint has one at least."""


@dataclass(frozen=True)
class Exported:
    """What an export made: the bundle at its final place, and its parity report (None with ``verify=False``)."""

    bundle: Bundle
    parity: Parity | None

    def to_dict(self) -> dict[str, Any]:
        """What ``youtu-onnx export --json`` prints of it."""
        manifest = self.bundle.manifest
        return {
            "bundle": str(self.bundle.path),
            "bytes": self.bundle.size,
            "target": manifest.target,
            "recipe": manifest.recipe.to_dict(),
            "tensors": dict(manifest.tensors),
            "kv_bytes_per_token": manifest.cache.bytes_per_token,
            "adapters": None if manifest.adapters is None else [one.name for one in manifest.adapters],
            "verification": manifest.verification,
        }


def export(
    model: str,
    output: str | Path,
    *,
    precision: Precision = "int4",
    block_size: int | None = None,
    symmetric: bool = False,
    int8: tuple[str, ...] = (),
    algorithm: Algorithm = "rtn",
    bits_per_weight: float | None = None,
    calibration: Sequence[str | Path] = (),
    calibration_tokens: int = 8192,
    target: str = "cpu",
    cache: str | None = None,
    max_length: int | None = None,
    layout: str | None = None,
    save_checkpoint: str | Path | None = None,
    verify: bool = True,
    force: bool = False,
    adapter: str | Path | Sequence[str | Path] = (),
    adapter_mode: str = MERGE,
    revision: str | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Export a checkpoint to an ONNX bundle.

    Args:
        model: a checkpoint folder, a hub id, or ``youtu-nano``.
        output: the bundle's folder. It appears when everything in it is written and verified, and not before.
        precision, block_size, symmetric, int8: see :class:`youtu_onnx.publish.options.ExportOptions`.
        algorithm: ``rtn`` rounds to the nearest; ``gptq`` has codes make up for one another's errors on a text; ``awq``
            scales channels for it; ``gptq+awq`` does both.
        bits_per_weight: of all weights on average at most; each matrix gets the storage that its sensitivity asks for.
        calibration, calibration_tokens: files of text that inputs are measured on, and how many tokens of it are read at most.
            Without one, ``rtn`` takes token ids drawn at random, and the others the built-in text.
        target: ``cpu``, ``cuda``, ``dml``, ``webgpu`` or ``mobile``.
        cache: ``latent`` (small, and what onnxruntime-genai opens), ``latent-fp16`` (half of it, on the CPU), ``latent-int8`` (a
            quarter of it) or ``expanded`` (per-head keys and values). None takes the target's: for ``mobile`` that is
            ``latent-int8`` where the matrices are int4 or int8. Of MicroReason ``routed`` (rows leave it; for the CPU, and taken
            there) or ``masked`` (a row for every token).
        max_length: tokens to reserve, for targets whose cache is static (``dml``): each step works on all of them. None takes
            4096, or the model's positions where it has fewer.
        layout: ``transformers.js`` adds the names under which that library looks for a model, ``browser`` a graph that is
            faster in WebAssembly.
        save_checkpoint: also write the int4 weights as a checkpoint of compressed-tensors, which transformers loads, into this
            folder, which isn't there yet.
        verify: compare logits and greedy tokens with PyTorch before publishing.
        force: replace a bundle that is already there, and publish one that failed verification.
        adapter: folder of a LoRA in PEFT's format, ``DIR`` or ``"NAME=DIR"``; with ``hot`` there may be several.
        adapter_mode: ``merge`` adds it to the weights before they are quantized; ``hot`` keeps it beside them, to be chosen when
            the model runs.
        revision, offline: for hub ids.
        progress: told of stages and bytes.

    Raises:
        UsageError, CheckpointError, AdapterError, ResourceError: nothing was published.
        VerificationError: the bundle does not compute what the checkpoint computes; nothing was published.
    """
    options = ExportOptions(
        precision=precision,
        block_size=block_size,
        symmetric=symmetric,
        int8=tuple(int8),
        algorithm=algorithm,
        bits_per_weight=bits_per_weight,
        calibration=tuple(map(Path, calibration)),
        calibration_tokens=calibration_tokens,
        cache=cache,
        max_length=max_length,
        layout=layout,
        save_checkpoint=None if save_checkpoint is None else Path(save_checkpoint),
        verify=verify,
        force=force,
        adapters=AdapterChoice.parse(
            [str(adapter)] if isinstance(adapter, str | Path) else list(map(str, adapter)), adapter_mode
        ),
        revision=revision,
        offline=offline,
    )
    return export_bundle(model, Path(output), target_called(target), options, progress)


def export_bundle(
    model: str,
    output: Path,
    target: Target,
    options: ExportOptions,
    progress: Progress | None = None,
    *,
    keep_beside: Path | None = None,
) -> Exported:
    """:func:`export` with its options as one object.

    Args:
        keep_beside: the name of a folder beside which calibrated codes are kept until the bundle is there; None: ``output``.
    """
    progress = progress or Silent()
    recipe = options.recipe(target)
    target.check_length(options.max_length)
    check_layout(options.layout, target)
    hot = options.adapters.beside
    if options.adapters.hot:
        refuse_static(target)
        refuse_rescaled(recipe)
    with Saving.to(options, output) as saving, Staging(output, force=options.force) as staging:
        progress.begin("checkpoint")
        checkpoint, carried = _opened(model, options)
        refuse_choices_that_are_made(checkpoint, recipe, options)
        for remark in carried.text.remarks:
            progress.note(remark)
        form = options.cache or checkpoint.family.cache_form(checkpoint.architecture, recipe, target)
        recipe = _for_model(recipe, checkpoint, target, options)
        if options.bits_per_weight is not None:
            checkpoint.family.check_cache_form(form, recipe, target)
            ids = sample(checkpoint, carried, options)
            recipe = mixed(checkpoint, recipe, target, form, options.bits_per_weight, ids, progress)
        place = keep_beside or output
        manifest = _write(checkpoint, carried, recipe, target, form, options, staging.folder, place, saving, progress)
        parity = None
        if options.verify:
            (staging.folder / names.MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
            parity = _verified(staging.folder, checkpoint, progress, options.force)
            manifest = replace(manifest, verification=parity.to_dict())
        write_model_card(manifest, staging.folder)
        manifest = with_file(manifest, staging.folder / names.MODEL_CARD)
        manifest = add_layout(options.layout, manifest, staging.folder)
        manifest = with_adapters(Bundle(staging.folder, manifest), hot) if hot else manifest
        progress.begin("publish")
        path = staging.publish(manifest)
        saving.publish()
    progress.finish()
    return Exported(Bundle(path, manifest), parity)


def _opened(model: str, options: ExportOptions) -> tuple[Checkpoint, Carried]:
    """The checkpoint, and what the bundle has of its text: all that can be wrong with either is known before any work."""
    checkpoint = open_merged(model, options.adapters.merged, revision=options.revision, offline=options.offline)
    if not any((checkpoint.path / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(
            f"{checkpoint.path} has no {names.TOKENIZER}: a bundle could neither be verified nor talk",
            hint="download the checkpoint's tokenizer files beside its weights",
        )
    refuse_misreadings(checkpoint)  # or transformers would stumble over the config when it is asked for the tokenizer
    return checkpoint, Carried.of(checkpoint)


def _for_model(recipe: Recipe, checkpoint: Checkpoint, target: Target, options: ExportOptions) -> Recipe:
    """What the user left open, as this model asks for it."""
    if options.bits_per_weight is not None:
        return recipe
    if not options.all_int4:
        recipe = recipe.keeping(checkpoint.family.sensitive)
    if options.block_size is None:
        recipe = recipe.for_width(checkpoint.architecture.hidden_size)
        if target.even_blocks and recipe.precision == "int4" and not recipe.symmetric:
            recipe = recipe.with_even_blocks(checkpoint.architecture.hidden_size)
    return recipe


def _write(
    checkpoint: Checkpoint,
    carried: Carried,
    recipe: Recipe,
    target: Target,
    form: str,
    options: ExportOptions,
    folder: Path,
    place: Path,
    saving: Saving,
    progress: Progress,
) -> Manifest:
    """Write the bundle's files but manifest and model card. The graph, twice in memory, is gone then: verification needs room."""
    calibration = calibration_of(checkpoint, carried, recipe, options) if recipe.weighs_inputs else None
    assembly = assemble(
        checkpoint, recipe, target, form, progress, options.max_length, calibration, adaptable=options.adapters.hot
    )
    refuse_unfit(checkpoint, assembly, options.adapters.beside)
    check_assembly(options.layout, assembly)
    needs = needs_of(assembly, checkpoint, verified=options.verify)
    progress.note(f"needs {needs.memory / 1e9:.1f} GB of memory and {needs.disk / 1e9:.2f} GB of disk")
    _refuse_what_does_not_fit(needs, folder)
    weights = rescaled(assembly, checkpoint, recipe, target, calibration, progress)
    if calibration is not None:
        calibration.read_with(weights)
    if calibration is None or not recipe.compensates:
        manifest = write_bundle(assembly, checkpoint, weights, carried, recipe, target, folder, progress)
    else:
        with Unfinished(place, codes_key(checkpoint, recipe, target, form, calibration)) as unfinished:
            manifest = write_bundle(assembly, checkpoint, weights, carried, recipe, target, folder, progress, unfinished)
            if unfinished.taken:
                progress.note(f"{unfinished.taken} matrices had been calibrated when the last export was cut short")
            unfinished.done()
    saving.write(assembly, checkpoint, weights, progress)
    return manifest


def _verified(folder: Path, checkpoint: Checkpoint, progress: Progress, force: bool) -> Parity:
    parity = verify_parity(folder, checkpoint, progress)
    if not parity.passed and not force:
        raise VerificationError(
            "the bundle does not compute what PyTorch computes; it was not published:\n  - " + "\n  - ".join(parity.faults),
            hint="use a smaller --block-size, --int8 for sensitive tensors, or a higher --precision; "
            "--force publishes it all the same",
        )
    return parity


def _refuse_what_does_not_fit(needs: Needs, folder: Path) -> None:
    (_, available), free = machine.memory(), shutil.disk_usage(folder).free
    if available < needs.memory:
        raise ResourceError(
            f"this export needs about {needs.memory / 1e9:.1f} GB of memory; {available / 1e9:.1f} GB are available",
            hint="close other programs, or export on a larger machine and copy the bundle here",
        )
    if free < needs.disk:
        raise ResourceError(
            f"this export needs about {needs.disk / 1e9:.2f} GB on the disk of {folder.parent}; {free / 1e9:.2f} GB are free",
            hint="free space, or choose an --output on another disk",
        )
