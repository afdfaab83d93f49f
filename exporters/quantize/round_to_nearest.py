"""Blockwise round-to-nearest: the plainest quantization, exact to half a step.

Source: the layout and the meaning of scale and zero point are those of ONNX Runtime's MatMulNBits:
``weight = (q - zero_point) * scale`` with one scale (and zero point) for each ``block_size`` numbers along a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from youtu_onnx.recipe import Blockwise


@dataclass(frozen=True)
class Quantized:
    """Blocks of a matrix ``[N,K]``, G = ceil(K / block_size).

    Attributes:
        values: uint8 ``[N,G,block_size]``, each 0 to 2^bits - 1.
        scales: float ``[N,G]`` in the dtype that the graph reads.
        zero_points: uint8 ``[N,G]``; None where all are the middle value 2^(bits-1).
        bits: 4 or 8.
    """

    values: Tensor
    scales: Tensor
    zero_points: Tensor | None
    bits: int

    def dequantize(self) -> Tensor:
        """float32 ``[N, G·block_size]``, padding included."""
        zero = 2 ** (self.bits - 1) if self.zero_points is None else self.zero_points.unsqueeze(-1).float()
        return ((self.values.float() - zero) * self.scales.float().unsqueeze(-1)).flatten(1)


def round_to_nearest(weight: Tensor, storage: Blockwise, scale_dtype: torch.dtype = torch.float32) -> Quantized:
    """Quantize ``weight`` [N,K]; a last block that K doesn't fill is padded with zeros.

    Symmetric blocks map their largest magnitude, with its sign, to the end of the range that has one step more
    (-8 of -8…7), which halves the error of that number at no cost. Asymmetric blocks map [min, max], widened to hold 0.
    """
    rows, columns = weight.shape
    size, top = storage.block_size, 2**storage.bits - 1
    # A copy, which the steps below overwrite: each is one pass over numbers that are still in the processor's cache.
    blocks = torch.nn.functional.pad(weight.to(torch.float32, copy=True), (0, -columns % size)).view(rows, -1, size)
    low, high = blocks.amin(-1), blocks.amax(-1)
    if storage.symmetric:
        zeros, middle = None, 2 ** (storage.bits - 1)
        scales = _nonzero(torch.where(high > -low, high, low) / -middle, scale_dtype)
        blocks.div_(scales.float().unsqueeze(-1)).add_(middle)
    else:
        low, high = low.clamp_(max=0), high.clamp_(min=0)
        scales = _nonzero((high - low) / top, scale_dtype)
        zeros = torch.round(-low / scales.float()).clamp_(0, top)
        blocks.div_(scales.float().unsqueeze(-1)).add_(zeros.unsqueeze(-1))
        zeros = zeros.to(torch.uint8)
    return Quantized(blocks.round_().clamp_(0, top).to(torch.uint8), scales, zeros, storage.bits)


def _nonzero(scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Scales as they will be stored; a block of zeros gets 1, for 0 can't be divided by."""
    stored = scales.to(dtype)
    return torch.where(stored == 0, torch.ones_like(stored), stored)
