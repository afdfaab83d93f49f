"""The checkpoint's weights in the numbers that lose least as they will be stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from youtu_onnx.core.progress import Progress
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.calibration import Calibration, drawn
from youtu_onnx.exporters.quantize.awq import Awq
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Weights
from youtu_onnx.families.referenced import reference_of

if TYPE_CHECKING:
    from torch import Tensor


def rescaled(
    assembly: Assembly,
    checkpoint: Checkpoint,
    recipe: Recipe,
    target: Target,
    calibration: Calibration | None,
    progress: Progress,
) -> Weights:
    """The checkpoint itself, or the same model with factors between inputs and what is multiplied with them: for the algorithms
    that search them on the calibration's text; and for int8, whose inputs are rounded, too, where codes aren't calibrated.

    Adapters beside the weights are multiplied with the checkpoint's own inputs, so a bundle that has them has its own numbers.
    """
    reference, progressed = reference_of(checkpoint.family), progress.advance
    if recipe.searches_scales:
        assert calibration is not None
        progress.begin("scales", checkpoint.nbytes)
        storages = {
            name: packing.storage
            for packing in assembly.packings.values()
            for name in packing.parameter.tensors
            if packing.storage is not None and packing.parameter.kind == "matrix"
        }
        return reference.rescaled(checkpoint, calibration.sequences, Awq(storages), on_bytes=progressed)
    if recipe.precision == "int8" and target.integer_products and not recipe.calibrated and not assembly.adapted:
        progress.begin("balance", checkpoint.nbytes)
        ids = drawn(checkpoint.architecture.vocab_size, checkpoint.architecture.max_position_embeddings)
        return reference.rescaled(checkpoint, ids, balanced, diagonal=True, on_bytes=progressed)
    return checkpoint


def balanced(matrices: Mapping[str, Tensor], sizes: Tensor) -> Tensor:
    """A :data:`youtu_onnx.families.reference.ChooseFactors` for inputs that are rounded as finely as what meets them.

    Where one channel is ten times as large as its neighbours, they have a tenth of the codes. With the root of the input's size
    over the column's as its factor, both are rounded as well as each other (the exponent of SmoothQuant,
    https://arxiv.org/abs/2211.10438). Around 1, and 1 where either is zero.
    """
    import torch

    inputs, columns = sizes.sqrt(), torch.cat(list(matrices.values())).square().mean(0).sqrt()
    known = (inputs > 0) & (columns > 0)
    if not known.any():
        return torch.ones_like(inputs)
    logarithms = torch.where(known, (inputs.log() - columns.log()) / 2, torch.nan)
    return torch.nan_to_num(logarithms - logarithms[known].mean(), nan=0.0).exp()
