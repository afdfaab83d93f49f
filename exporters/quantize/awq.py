"""AWQ: factors between an input's channels and the columns behind them, such that rounding the columns loses least.

Lin et al. 2023 (arXiv 2306.00978). A column that a large channel is multiplied with should be rounded finely; multiplied by a
factor s > 1, with its channel divided by s, it has an s-th of the error, as long as it doesn't widen its block's range. With the
channels' sizes as ``s = size^a``, the exponent a is searched for: the one whose rounded matrices err least in what comes out,
``(w - w') M (w - w')ᵀ`` with M the second moments of the input.

This chooses factors alone; codes are chosen by whatever comes after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, quantize
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest

EXPONENTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Of root mean squares."""
ROWS = 256
"""Of a matrix that are rounded to see what that costs."""


@dataclass(frozen=True)
class Awq:
    """A :data:`youtu_onnx.families.reference.ChooseFactors`.

    Attributes:
        storages: by the checkpoint's names, how matrices will be stored; those that aren't named stay floats.
    """

    storages: Mapping[str, Blockwise]

    def __call__(self, matrices: Mapping[str, Tensor], moments: Tensor) -> Tensor:
        sizes = moments.diagonal().sqrt()
        best, factors = float("inf"), torch.ones_like(sizes)
        rounded = {name: weight for name, weight in matrices.items() if name in self.storages}
        for exponent in EXPONENTS if rounded else ():
            tried = _centred(sizes**exponent, sizes > 0)
            error = sum(self._error(name, weight, tried, moments) for name, weight in rounded.items())
            if error < best:
                best, factors = error, tried
        return factors

    def _error(self, name: str, weight: Tensor, factors: Tensor, moments: Tensor) -> float:
        """In what comes out of some of the rows, all rows counted."""
        some = weight[:: max(1, len(weight) // ROWS)]
        inputs = InputStatistics(moments.diagonal() / factors.square())
        made = quantize(RoundToNearest(), some * factors, self.storages[name], inputs=inputs).dequantize()
        off = made[:, : some.shape[1]] / factors - some
        return float(((off @ moments) * off).sum()) * len(weight) / len(some)


def _centred(factors: Tensor, known: Tensor) -> Tensor:
    """With the largest as far above 1 as the smallest is below; 1 where a channel is always 0."""
    if not known.any():
        return torch.ones_like(factors)
    of = factors[known]
    return torch.where(known, factors / (of.max() * of.min()).sqrt(), 1.0)
