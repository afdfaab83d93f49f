"""A matrix in blocks of integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quantized:
    """Blocks of a matrix ``[N,K]``, G = ceil(K / block_size); ``weight = (code - zero_point) * scale``, as ONNX Runtime's
    MatMulNBits has it.

    Attributes:
        codes: uint8 ``[N,G,block_size]``, each 0 to 2^bits - 1. Those beyond column K are padding.
        scales: float ``[N,G]`` in the dtype that the graph reads.
        zero_points: uint8 ``[N,G]``; None where all are the middle value 2^(bits-1).
        bits: 4 or 8.
    """

    codes: Tensor
    scales: Tensor
    zero_points: Tensor | None
    bits: int

    def dequantize(self) -> Tensor:
        """float32 ``[N, G·block_size]``, padding included."""
        zero = 2 ** (self.bits - 1) if self.zero_points is None else self.zero_points.unsqueeze(-1).float()
        return ((self.codes.float() - zero) * self.scales.float().unsqueeze(-1)).flatten(1)

    @classmethod
    def joined(cls, parts: Sequence[Quantized]) -> Quantized:
        """Consecutive rows of one matrix, put together."""
        zeros = [part.zero_points for part in parts if part.zero_points is not None]
        return cls(
            torch.cat([part.codes for part in parts]),
            torch.cat([part.scales for part in parts]),
            torch.cat(zeros) if zeros else None,
            parts[0].bits,
        )
