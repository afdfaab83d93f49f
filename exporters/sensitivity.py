"""What each matrix's rounding costs a model's predictions, measured on a text.

Kind by kind (all ``down_proj``, all ``o_proj``, …) the matrices are rounded to 4 bits in blocks of 64, all others left as they
are, and PyTorch's predictions compared with those of the float model: mean KL divergence, nats. Within a kind that cost is shared
out by the error that each matrix makes in what comes out of it, relative to it; and so is the cost of other block sizes and of 8
bits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from youtu_onnx.core.progress import Progress
from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, quantize
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Floats
from youtu_onnx.families.referenced import reference_of

MEASURED = Blockwise(4, 64, False)
ROWS = 128
"""Of a matrix, so many rows are looked at where its error is estimated."""


@dataclass(frozen=True)
class Matrix:
    """A matrix of the graph.

    Attributes:
        tensors: of the checkpoint, whose rows it has.
        storages: in which it could be stored.
    """

    name: str
    tensors: tuple[str, ...]
    storages: tuple[Blockwise, ...]

    @property
    def kind(self) -> str:
        return re.sub(r"\.\d+\.", ".", self.name)


@dataclass(frozen=True)
class RoundedKind:
    """The checkpoint's weights, some of them rounded. Implements :class:`youtu_onnx.families.reference.Weights`."""

    checkpoint: Checkpoint
    names: frozenset[str]
    sizes: Mapping[str, Tensor]

    def tensor(self, name: str) -> Tensor:
        return self._made(name, self.checkpoint.tensor(name))

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        return self._made(name, self.checkpoint.rows(name, start, stop))

    def _made(self, name: str, weight: Tensor) -> Tensor:
        return _rounded(weight, MEASURED, self.sizes.get(name)) if name in self.names else weight


def costs(
    checkpoint: Checkpoint, matrices: Sequence[Matrix], ids: Sequence[int], progress: Progress
) -> dict[str, dict[Blockwise, float]]:
    """For each matrix, by its name, what each of its storages costs.

    Memory: as :meth:`youtu_onnx.families.reference.Reference.logits`, and twice the logits of ``ids``.
    """
    reference = reference_of(checkpoint.family)
    kinds: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        kinds.setdefault(matrix.kind, []).append(matrix)
    progress.begin("sensitivity", total=checkpoint.nbytes * (2 + len(kinds)))
    moments = reference.second_moments(checkpoint, [ids], diagonal=True, on_bytes=progress.advance)
    sizes = {name: found for piece in moments for name, found in piece.items()}
    [wanted] = reference.logits(checkpoint, [ids], on_bytes=progress.advance)
    made: dict[str, dict[Blockwise, float]] = {}
    for those in kinds.values():
        names = frozenset(name for matrix in those for name in matrix.tensors)
        weights = RoundedKind(checkpoint, names, sizes)
        [found] = reference.logits(checkpoint, [ids], weights=weights, on_bytes=progress.advance)
        measured = _divergence(wanted, found)
        noises = {matrix.name: _noises(checkpoint, matrix, sizes) for matrix in those}
        total = sum(noise[MEASURED] for noise in noises.values())
        for name, noise in noises.items():
            made[name] = {storage: measured * one / total if total else 0.0 for storage, one in noise.items()}
    return made


def _noises(checkpoint: Checkpoint, matrix: Matrix, sizes: Mapping[str, Tensor]) -> dict[Blockwise, float]:
    """By storage, the mean square of what rounding changes in what comes out, over that of what comes out, were inputs
    independent of each other."""
    storages = dict.fromkeys((MEASURED, *matrix.storages))
    noise, signal = dict.fromkeys(storages, 0.0), 0.0
    for name in matrix.tensors:
        weight = checkpoint.tensor(name)
        some = weight[:: max(1, len(weight) // ROWS)].float()
        weights = sizes.get(name, torch.ones(weight.shape[1]))
        share = len(weight) / len(some)
        signal += share * float((some.square() * weights).sum())
        for storage in storages:
            off = some - _rounded(some, storage, sizes.get(name))
            noise[storage] += share * float((off.square() * weights).sum())
    return {storage: one / signal if signal else 0.0 for storage, one in noise.items()}


def _rounded(weight: Tensor, storage: Blockwise, sizes: Tensor | None) -> Tensor:
    made = quantize(RoundToNearest(), weight, storage, inputs=None if sizes is None else InputStatistics(sizes))
    return made.dequantize()[:, : weight.shape[1]].contiguous()


def _divergence(wanted: Floats, found: Floats) -> float:
    one, other = (torch.from_numpy(logits).log_softmax(-1) for logits in (wanted, found))
    return float((one.exp() * (one - other)).sum(-1).mean())
