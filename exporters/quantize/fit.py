"""Scales and zero points of least squared error; of least weighted error where the sizes of the inputs are known.

The widest range, from a block's smallest number to its largest, spends its steps on a few outliers. A narrower one clips
those and rounds all others finer. For each block:

1. the range as it is and shrunk by each of ``SHRINKS``, zero point kept: the one of least error is taken;
2. least squares of the numbers on the integers so found: the line ``weight = scale · integer + offset``, its offset rounded
   to a whole zero point, then the best scale for that zero point. Taken where its error is less.

On Gaussian blocks of 128 the RMS error falls by 5.4 %; an exhaustive search over scales and zero points takes off 5.7 %.

With weights, a number that a large input is multiplied with counts for more, and the best range may cut one that hardly counts:
more and narrower ranges are tried, each with its zero point a step to either side, too; then, about the best of them and its
least squares, ranges that are a little narrower and wider; then least squares twice.

An exhaustive search, over 120 ranges with each of the 16 zero points and the best scale for the codes so found, takes 0.4 to
1.9 % off the weighted squared error in a language model's matrices, and finds nothing better in three of four blocks. Without
the step about the best it would be 1.1 to 2.4 %.
"""

from __future__ import annotations

import torch
from torch import Tensor

from youtu_onnx.exporters.quantize.stored import stored

SHRINKS = (0.95, 0.9, 0.85)
WEIGHTED_SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
ABOUT = (0.975, 1.025)
"""Of the best of these: half-way to its neighbours."""


def fit(
    steps: Tensor, scales: Tensor, zeros: Tensor, *, top: int, asymmetric: bool, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Better scales and zero points for ``steps`` [N,G,block_size]: the numbers, each divided by its block's scale.

    Errors are in steps too, so that magnitude doesn't matter: no square overflows or vanishes. Candidates are judged with
    the scale as it will be kept (:mod:`youtu_onnx.exporters.quantize.stored`). One that can't be compared (NaN, infinite) is
    not taken.

    Args:
        scales: [N,G] in the dtype that is stored.
        zeros: [N,G] whole numbers, float32.
        top: the largest integer; the smallest is 0.
        asymmetric: zero points may change.
        weights: [G,block_size], what a squared error of each number counts; None: all the same.

    Returns:
        Scales and zero points; no block's squared error is larger than with those given.

    Memory: two more tensors like ``steps``.
    """
    search = _Search(steps, scales, zeros, top, weights)
    if weights is None:
        for shrink in SHRINKS:
            search.consider(search.first * shrink, zeros)
        search.consider(*search.least_squares(asymmetric))
        return search.scales, search.zeros
    for shrink in WEIGHTED_SHRINKS:
        search.consider_with_zeros_beside(search.first * shrink, zeros, asymmetric)
    search.consider(*search.least_squares(asymmetric))
    best, its_zeros = search.scales.float(), search.zeros
    for about in ABOUT:
        search.consider_with_zeros_beside(best * about, its_zeros, asymmetric)
    for _ in range(2):
        search.consider(*search.least_squares(asymmetric))
    return search.scales, search.zeros


class _Search:
    """The best scales and zero points so far, block by block. Each method is a few passes over numbers in the cache."""

    def __init__(self, steps: Tensor, scales: Tensor, zeros: Tensor, top: int, weights: Tensor | None) -> None:
        self.first = scales.float()
        self.scales, self.zeros = scales, zeros
        self._steps, self._top, self._weights = steps, top, weights
        self._scaled, self._integers = torch.empty_like(steps), torch.empty_like(steps)
        self._error = self._squared_error(self.first, zeros)

    def consider(self, scales: Tensor, zeros: Tensor) -> None:
        """Take these scales (float32, to be stored as the first ones are) and zero points where their error is less."""
        kept = stored(scales, self.scales.dtype)
        error = self._squared_error(kept.float(), zeros)
        better = error < self._error
        self._error = torch.where(better, error, self._error)
        self.scales, self.zeros = torch.where(better, kept, self.scales), torch.where(better, zeros, self.zeros)

    def consider_with_zeros_beside(self, scales: Tensor, zeros: Tensor, asymmetric: bool) -> None:
        """And the zero points a step to either side, if they may change."""
        self.consider(scales, zeros)
        for aside in (-1, 1) if asymmetric else ():
            self.consider(scales, (zeros + aside).clamp(0, self._top))

    def least_squares(self, asymmetric: bool) -> tuple[Tensor, Tensor]:
        """Scales and zero points that fit the integers of the best ones; NaN where all integers are equal."""
        self._round(self.scales.float(), self.zeros)
        x = self._integers.sub_(self.zeros.unsqueeze(-1))
        xx = self._sum(torch.mul(x, x, out=self._scaled))
        xy = self._sum(torch.mul(x, self._steps, out=self._scaled))
        if not asymmetric:
            return self.first * (xy / xx), self.zeros
        n = x.shape[-1] if self._weights is None else self._weights.sum(-1)
        sum_x, sum_y = self._sum(x), self._sum(self._steps)
        slope = (n * xy - sum_x * sum_y) / (n * xx - sum_x * sum_x)
        zeros = torch.round(self.zeros + (sum_x - sum_y / slope) / n).clamp_(0, self._top)
        shift = zeros - self.zeros  # integers count from the new zero point: x - shift
        slope = (xy - shift * sum_y) / (xx - 2 * shift * sum_x + n * shift * shift)
        return self.first * slope, zeros

    def _round(self, scales: Tensor, zeros: Tensor) -> None:
        """Places on the grid of these scales and zero points, and the integers nearest to them."""
        torch.mul(self._steps, (self.first / scales).unsqueeze(-1), out=self._scaled).add_(zeros.unsqueeze(-1))
        torch.round(self._scaled, out=self._integers).clamp_(0, self._top)

    def _squared_error(self, scales: Tensor, zeros: Tensor) -> Tensor:
        """[N,G], in squares of the first scale."""
        self._round(scales, zeros)
        return self._sum(self._scaled.sub_(self._integers).square_()) * (scales / self.first).square_()

    def _sum(self, terms: Tensor) -> Tensor:
        """[N,G], weighted."""
        return terms.sum(-1) if self._weights is None else torch.mul(terms, self._weights, out=self._scaled).sum(-1)
