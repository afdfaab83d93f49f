"""Scales as they are kept."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 2.0**-100
"""Below this numbers have no digits to spare."""


def stored(scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Scales in the dtype that is written. Of float32's 24 binary digits the first 11 count, as in float16: who reads a matrix
    for every token keeps its scales in half the bytes, and loses nothing. That moves a scale by 2^-11 of it at most, and codes
    are chosen for the scale as it is then.
    """
    if dtype != torch.float32:
        return scales.to(dtype)
    bits = scales.float().contiguous().view(torch.int32)
    short = ((bits + 2**12) & -(2**13)).view(torch.float32)
    return torch.where(scales.abs() > SMALLEST, short, scales)
