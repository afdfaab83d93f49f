"""Cholesky's factor of an inverse, in the memory of the matrix: of 6,144 inputs one has 0.3 GB, and LAPACK's way holds three."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 1024
"""Columns that LAPACK is given at a time; all else is products of matrices."""


def inverse_factor(reversed_: Tensor) -> Tensor:
    """U ``[K,K]``, upper triangular, float32, with ``Uᵀ U = M⁻¹``.

    With L the lower factor of M in reverse order, ``M = R Rᵀ`` where R is L in reverse order again, which is upper triangular: so
    ``U = R⁻¹`` is L⁻¹ in reverse order, and no inverse of M is needed.

    Args:
        reversed_: M ``[K,K]``, float64, symmetric and positive definite, rows and columns in reverse order. Its memory is used.

    Raises:
        torch.linalg.LinAlgError: M is not positive definite.
    """
    _factorize(reversed_)
    _invert(reversed_.tril_())
    count = len(reversed_)
    factor = torch.empty(count, count)
    for start in range(0, count, BLOCK):
        rows = reversed_[start : start + BLOCK]
        factor[count - start - len(rows) : count - start] = rows.flip(0, 1)
    return factor


def _factorize(matrix: Tensor) -> None:
    """The lower factor, in place; what is above the diagonal is left as it comes."""
    for start in range(0, len(matrix), BLOCK):
        here, after = slice(start, start + BLOCK), slice(start + BLOCK, None)
        corner, below = matrix[here, here], matrix[after, here]
        corner.copy_(torch.linalg.cholesky(corner))
        below.copy_(torch.linalg.solve_triangular(corner.T, below, upper=True, left=False))
        matrix[after, after].addmm_(below, below.T, alpha=-1)


def _invert(lower: Tensor) -> None:
    """Of a lower triangular matrix, in place: halves first, then ``-B⁻¹ C A⁻¹`` between them."""
    if len(lower) <= BLOCK:
        lower.copy_(torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=lower.dtype), upper=False))
        return
    half = len(lower) // 2
    first, last, between = lower[:half, :half], lower[half:, half:], lower[half:, :half]
    _invert(first)
    _invert(last)
    between.copy_((last @ between @ first).neg_())
