"""Storages matrix by matrix, for a number of bits a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.recipe import BLOCK_SIZES, Blockwise, Recipe, block_for
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.passes.linear import quantized_names
from youtu_onnx.exporters.quantize.budget import Way, choose
from youtu_onnx.exporters.sensitivity import Matrix, costs
from youtu_onnx.exporters.weights import most_bytes
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.exported import exportable
from youtu_onnx.graphs.parameter import Parameter

FLOAT_BYTES = {"float32": 4, "float16": 2}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def mixed(
    checkpoint: Checkpoint,
    recipe: Recipe,
    target: Target,
    form: str,
    bits_per_weight: float,
    ids: Sequence[int],
    progress: Progress,
) -> Recipe:
    """The recipe with a storage for each matrix such that all weights have ``bits_per_weight`` on average at most, scales, zero
    points and what stays float counted, and predictions after ``ids`` are as close to the checkpoint's as that allows.

    Raises:
        UsageError: so few bits can't be had.
    """
    architecture, family = checkpoint.architecture, checkpoint.family
    graphs, dtype = exportable(family), target.floats(recipe.precision)
    parameters = graphs.parameters(
        architecture, graphs.form(family.cache_layout(architecture, form, dtype, target.length(None, 2**31)), recipe, target)
    )
    tied = architecture.tie_word_embeddings
    matrices = {name: one for name, one in parameters.items() if one.kind == "matrix" and not (tied and name == EMBEDDING)}
    others = sum(_bytes(one, dtype) for name, one in parameters.items() if one.kind != "matrix")
    possible = {name: _storages(name, one, recipe, target) for name, one in matrices.items()}
    cost = costs(checkpoint, [Matrix(name, one.tensors, possible[name]) for name, one in matrices.items()], ids, progress)
    ways = {
        name: [Way(storage, _stored(one.shape, storage, dtype, target), cost[name][storage]) for storage in possible[name]]
        for name, one in matrices.items()
    }
    budget = int(bits_per_weight * architecture.parameters / 8) - others
    try:
        chosen = choose(ways, budget)
    except ValueError as error:
        least = 8 * (others + sum(min(way.nbytes for way in each) for each in ways.values())) / architecture.parameters
        raise UsageError(
            f"--bits-per-weight {bits_per_weight:g} is less than this model takes where every matrix has 4: {least:.2f}",
            hint="ask for more, or for a larger --block-size",
        ) from error
    return replace(recipe, mixed=tuple((name, way.storage.bits, way.storage.block_size) for name, way in chosen.items()))


def _storages(name: str, parameter: Parameter, recipe: Recipe, target: Target) -> tuple[Blockwise, ...]:
    columns, symmetric = parameter.shape[1], recipe.symmetric
    fixed = recipe.storage(quantized_names(name, parameter.tensors), columns, even_at_8_bits=target.even_at_8_bits)
    assert fixed is not None
    if fixed.bits == 8:
        return (fixed,)
    sizes = dict.fromkeys(block_for(columns, 4, size) for size in BLOCK_SIZES if 32 <= size <= recipe.block_size)
    if target.even_blocks and name in (EMBEDDING, HEAD) and not symmetric:
        sizes = {size: None for size in sizes if -(-columns // size) % 2 == 0} or {fixed.block_size: None}
    eight = Blockwise(8, block_for(columns, 8, recipe.block_size, even=target.even_at_8_bits), symmetric)
    return (*(Blockwise(4, size, symmetric) for size in sizes), eight)


def _stored(shape: tuple[int, ...], storage: Blockwise, dtype: str, target: Target) -> int:
    rows, columns = shape
    groups, per_byte = -(-columns // storage.block_size), 8 // storage.bits
    zeros = -(-groups // per_byte) if target.zero_points or not storage.symmetric else 0
    pieces = groups * (storage.block_size // per_byte), groups * FLOAT_BYTES[dtype], zeros
    return sum(most_bytes(rows * piece) for piece in pieces)


def _bytes(parameter: Parameter, dtype: str) -> int:
    return most_bytes(prod(parameter.shape) * {"bytes": 1, "constant": 4}.get(parameter.kind, FLOAT_BYTES[dtype]))
