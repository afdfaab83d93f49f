"""Which factors an exporter moved from one matrix's rows into another's, found by holding both against the checkpoint.

Two stored rows whose product alone matters may share it in any way. Whichever of the two says more exactly how they do is
believed; if the other says something else, it is the other that comes out wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from youtu_onnx.graphs.rounded import Floats


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


def moved_factors(evidence: Sequence[Evidence]) -> Floats:
    """Of each row, the factor that is least uncertain; 1 where nothing says any."""
    found, uncertain = (np.stack(listed) for listed in zip(*(one.factors() for one in evidence), strict=True))
    best: Floats = np.take_along_axis(found, uncertain.argmin(0)[None], 0)[0]
    return best
