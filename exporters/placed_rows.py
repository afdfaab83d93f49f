"""Where rows of the checkpoint's matrices are in a matrix of the graph, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Weights
from youtu_onnx.graphs.parameter import Parameter, Rows

NOTHING = 2.0**-100
"""A factor below it is that of a row that only meets zeros, and what it has been rounded to is nothing, too."""


@dataclass(frozen=True)
class PlacedRows:
    """One matrix of the checkpoint in ``parameter``: ``rows`` of it, ``count`` from ``start`` on."""

    parameter: Parameter
    rows: Rows
    start: int
    count: int

    @property
    def tensor(self) -> str:
        return self.rows.tensor

    def back(self, made: Tensor) -> Tensor:
        """Of something with the graph's rows, ``[rows,…]``, those of this matrix in the checkpoint's order."""
        here = made[self.start : self.start + self.count]
        return here if self.rows.order is None else here[torch.argsort(self.rows.order())]

    def without_factors(self, scales: Tensor, weights: Weights) -> Tensor:
        """What has the graph's factors, ``[rows,…]`` as :meth:`back` has them, without: numbers, or scales of blocks.
        ``weights``: that the graph's were made of."""
        if self.rows.factors is None:
            return scales
        given = {name: weights.tensor(name) for name in self.parameter.sources}
        factors = self.rows.factors(given).float().unsqueeze(1)
        if self.rows.order is not None:
            factors = factors[torch.argsort(self.rows.order())]
        return torch.where(factors.abs() < NOTHING, 0, scales / factors)


def placed_rows(parameter: Parameter, checkpoint: Checkpoint) -> Iterator[PlacedRows]:
    """All of a parameter's, the first ones first."""
    start = 0
    for rows in parameter.rows:
        count = checkpoint.tensors[rows.tensor].shape[0]
        yield PlacedRows(parameter, rows, start, count)
        start += count
