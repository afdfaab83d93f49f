"""How far logits are from the reference's, in measures that hold for trained and for random weights alike.

Logits matter up to a constant per position (softmax ignores it), so errors and spreads are taken around the mean.
R: the reference's logits, X: the other's; p: softmax of R.

- ``max_abs``: max |X - R|, as it is. Meaningful for float graphs only: quantization error grows with the vocabulary's tail.
- ``relative_error``: RMS of (X - R) over RMS of R, both centred: noise to signal. Equal 0, zeros 1, unrelated logits √2.
- ``correlation``: of X and R around ``centre``, the reference's mean over a prompt's positions: agreement in what depends
  on the context. Equal 1; zeros, another position's logits and unrelated logits about 0, however much of the logits all
  positions share. It still tells right from wrong where rounding grows through deep random layers until the rest can't.
- ``mean_kl``, ``max_kl``: KL(p ‖ softmax X) in nats, what sampling from X costs; the standard measure for quantization.
- ``kl_share``: sum of KL over the sum of KL(p ‖ uniform): the part of what the reference knows that X lost. Equal 0,
  knowing nothing 1, unrelated logits about 2. Random weights know little, and lose in proportion: so a share, not nats.
- ``top1``: fraction of positions where X's first choice is the reference's (or within a float32 rounding of it).
- ``decided_top1``: the same over positions where the reference's first choice is at least twice as likely as its second.
  Among 128256 nearly equal random logits any rounding changes the first choice; those positions say nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.core.softmax import log_softmax

TIE = 1e-4
"""Choices whose reference logits differ by less than this part of its largest logit count as one."""

DECIDED = math.log(2)
"""Margin in logits from which on the reference's first choice counts as decided."""


@dataclass(frozen=True)
class Difference:
    """Sums over positions; ``a + b`` is the difference over both sets of positions."""

    positions: int = 0
    max_abs: float = 0.0
    peak: float = 0.0  # max |R|
    noise: float = 0.0  # sum of mean squares of centred X - R
    signal: float = 0.0  # sum of mean squares of centred R
    cross: float = 0.0  # covariance of X and R around the centre, and their variances, each a sum over positions
    own: float = 0.0
    other: float = 0.0
    kl: float = 0.0
    max_kl: float = 0.0
    information: float = 0.0  # sum of KL(p ‖ uniform)
    agreed: int = 0
    decided: int = 0
    decided_agreed: int = 0

    @property
    def relative_error(self) -> float:
        return math.sqrt(_ratio(self.noise, self.signal))

    @property
    def max_abs_share(self) -> float:
        """``max_abs`` over the reference's largest magnitude."""
        return _ratio(self.max_abs, self.peak)

    @property
    def correlation(self) -> float:
        """0 where either side does not vary, but 1 where neither does."""
        if not self.own and not self.other:
            return 1.0
        return _ratio(self.cross, math.sqrt(self.own * self.other)) if self.own and self.other else 0.0

    @property
    def mean_kl(self) -> float:
        return _ratio(self.kl, self.positions)

    @property
    def kl_share(self) -> float:
        return _ratio(self.kl, self.information)

    @property
    def top1(self) -> float:
        return _ratio(self.agreed, self.positions)

    @property
    def decided_top1(self) -> float:
        """1 where the reference decided nothing."""
        return self.decided_agreed / self.decided if self.decided else 1.0

    def __add__(self, other: Difference) -> Difference:
        summed = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        # np.maximum lets NaN through, max() may lose it
        summed |= {name: float(np.maximum(getattr(self, name), getattr(other, name))) for name in ("max_abs", "peak", "max_kl")}
        return Difference(**summed)

    def to_dict(self) -> dict[str, Any]:
        """What a reader wants to see; NaN and infinity, which JSON has not, become None."""
        names = ("max_abs", "relative_error", "correlation", "mean_kl", "max_kl", "kl_share", "top1", "decided_top1")
        measures = {name: getattr(self, name) for name in names}
        rounded = {name: float(f"{value:.4g}") if math.isfinite(value) else None for name, value in measures.items()}
        return {"positions": self.positions, "decided_positions": self.decided} | rounded


def centre(reference: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over positions ``[V]`` of a prompt's reference logits ``[N, V]``, itself centred."""
    mean: NDArray[np.float64] = reference.mean(0, dtype=np.float64)
    return mean - float(mean.mean())


def compare(reference: NDArray[Any], other: NDArray[Any], around: NDArray[Any]) -> Difference:
    """Difference of two arrays of logits ``[N, V]``; ``around`` is the prompt's :func:`centre`.

    NaN or infinity in ``other`` becomes NaN in every error, which no gate lets pass.
    """
    if reference.shape != other.shape or reference.ndim != 2:
        raise ValueError(f"logits of shapes {reference.shape} and {other.shape}; expected one and the same [N, V]")
    total = Difference()
    for row, twin in zip(reference, other, strict=True):  # a row at a time: float64 copies of all would be large
        total += _compare_row(row.astype(np.float64), twin.astype(np.float64), around)
    return total


def _compare_row(r: NDArray[Any], x: NDArray[Any], around: NDArray[Any]) -> Difference:
    peak = float(np.abs(r).max())
    if not np.isfinite(x).all():
        return _unmeasurable(peak)
    log_p, log_q = log_softmax(r), log_softmax(x)
    p = np.exp(log_p)
    kl = max(0.0, float(p @ (log_p - log_q)))  # rounding can leave -1e-17
    second, first = np.partition(r, -2)[-2:] if r.size > 1 else (-math.inf, r[0])
    agreed = bool(r[int(x.argmax())] >= first - TIE * peak)
    decided = bool(first - second >= DECIDED)
    varying, twin = r - r.mean() - around, x - x.mean() - around
    return Difference(
        positions=1,
        max_abs=float(np.abs(x - r).max()),
        peak=peak,
        noise=float(np.var(x - r)),
        signal=float(np.var(r)),
        cross=float(varying @ twin),
        own=float(varying @ varying),
        other=float(twin @ twin),
        kl=kl,
        max_kl=kl,
        information=float(p @ log_p) + math.log(r.size),
        agreed=int(agreed),
        decided=int(decided),
        decided_agreed=int(agreed and decided),
    )


def _unmeasurable(peak: float) -> Difference:
    """One position of which something is no number: no error has a size."""
    return Difference(
        positions=1,
        peak=peak,
        max_abs=math.nan,
        noise=math.nan,
        signal=math.nan,
        cross=math.nan,
        own=math.nan,
        other=math.nan,
        kl=math.nan,
        max_kl=math.nan,
        information=math.nan,
    )


def _ratio(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return 0.0 if part == 0 else math.inf
