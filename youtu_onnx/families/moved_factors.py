"""Which factors an exporter moved from one matrix's rows into another's, found by holding both against the checkpoint.

Two stored rows whose product alone matters may share it in any way. Whichever of the two says more exactly how they do is
believed; if the other says something else, it is the other that comes out wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from youtu_onnx.graphs.rounded import RESOLUTION, Floats, Rounded

LEFT_OPEN, LEAST_OPEN = 64, 2.0**-12
"""A factor that rounded numbers say is off by less than so many of its standard errors, and this part of it: rows have scales of
their own, and few may say most."""
CHANCE = 6
"""Standard errors that the largest of some thousand factors may be off by."""
SAYS_NOTHING = 0.2
"""Relative error of rounded numbers from which on they say no factor: many are rounded to zero."""


@dataclass(frozen=True)
class Evidence:
    """Rows that differ by a factor each, ``[N,K]``: ``whole ≈ factor · part``. One of the two is exact, the other was rounded."""

    whole: Floats
    part: Floats
    exact: Floats

    def factors(self) -> tuple[Floats, Floats]:
        """The factors ``[N]``, and how uncertain each is, relative to it; infinitely where a side is zero.

        The errors of rounding have nothing to do with the exact numbers, so their product with them is small: no factor is drawn
        to zero, as it would be by least squares on rounded numbers.
        """
        along = np.einsum("nk,nk->n", self.exact, self.part, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            factors = np.einsum("nk,nk->n", self.exact, self.whole, dtype=np.float64) / along
            rest = np.linalg.norm(self.whole - factors[:, None] * self.part, axis=1)
            uncertain = rest / np.linalg.norm(self.whole, axis=1) / np.sqrt(self.whole.shape[1])
        known = np.isfinite(factors) & (factors != 0) & np.isfinite(uncertain)
        return np.where(known, factors, 1).astype(np.float32), np.where(known, uncertain, np.inf).astype(np.float32)


def moved_factors(evidence: Sequence[Evidence], *, perhaps_none: bool = False) -> Floats:
    """Of each row, the factor that is least uncertain; 1 where nothing says any. ``perhaps_none``: exactly ones if all may be:
    then nothing was moved, and what rounding makes of ones is no factor."""
    found, uncertain = (np.stack(listed) for listed in zip(*(one.factors() for one in evidence), strict=True))
    least = uncertain.argmin(0)[None]
    best: Floats = np.take_along_axis(found, least, 0)[0]
    if perhaps_none and (np.abs(best - 1) <= CHANCE * np.take_along_axis(uncertain, least, 0)[0]).all():
        return np.ones_like(best)
    return best


def between(exact: Floats, rows: Rounded, true_columns: Floats, columns: Rounded) -> Floats:
    """``[K]``: what rows ``[K,…]`` were divided by and columns of a matrix ``[N,K]`` multiplied. Exactly ones if all may be."""
    stored, wanted = np.ascontiguousarray(columns.values.T), np.ascontiguousarray(true_columns.T)
    return moved_factors([Evidence(exact, rows.values, exact), Evidence(stored, wanted, wanted)], perhaps_none=True)


def given_away(norm: Rounded, gain: Floats) -> Floats:
    """What a norm's channels were divided by, ``[K]``: stored ``[K,1]`` against the checkpoint's gain. Exactly ones where what is
    stored is the gain, as its dtype has it."""
    stored = norm.values[:, 0]
    if (np.abs(stored - gain) <= RESOLUTION[norm.storage] * np.abs(gain) + norm.steps[:, 0]).all():
        return np.ones_like(gain)
    known = (stored != 0) & (gain != 0)
    made: Floats = np.where(known, gain / np.where(known, stored, 1), 1).astype(np.float32)
    return made


def beside_columns(norm: Rounded, gain: Floats, columns: Sequence[Rounded], exact: Floats) -> tuple[Rounded, Floats]:
    """A norm whose channels were divided by what columns behind it were multiplied by, as they are stored in one matrix or
    several and exact, ``[N,K]``: what is found and what is wanted. Columns are rounded, so a step is what they leave open, and
    what is found is as good as integers of their bits. Where they say nothing, the norm is taken as it is."""
    stored = np.concatenate([one.values for one in columns])
    bits = "int4" if any(one.storage == "int4" for one in columns) else "int8"
    factors, uncertain = Evidence(np.ascontiguousarray(stored.T), exact.T, exact.T).factors()
    rounding, found = uncertain * np.sqrt(np.float32(len(stored))), norm.values[:, 0]
    says = rounding < SAYS_NOTHING
    wanted = np.where(says, gain / factors, found).astype(np.float32)
    open_ = np.where(says, LEFT_OPEN * uncertain + 4 * np.square(rounding), 0) + LEAST_OPEN  # the square: of what rounds to zero
    steps = (np.where(found == 0, 1, np.abs(found)) * open_).astype(np.float32)
    return Rounded(norm.values, bits, steps[:, None]), wanted[:, None]
