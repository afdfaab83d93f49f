"""How a token's row of a latent cache is kept.

Shapes: B batch, S new tokens, P past tokens, T = P + S, R qk_rope_head_dim, L kv_lora_rank.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import SCALE_BITS
from youtu_onnx.graphs import fused, integers

STEPS_PER_OCTAVE = 8
"""A row's scale is kept as a byte: eight to a factor of two, 32 octaves from 2^-24 on."""
OCTAVES_BELOW_ONE = 24
UNIT = 2.0**-OCTAVES_BELOW_ONE
"""The scale that byte 0 stands for."""


class FloatRows(nn.Module):
    """A row is ``c_kv`` and ``k_rope`` side by side, as they are."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.rank = architecture.kv_lora_rank

    def forward(self, c_kv: Tensor, k_rope: Tensor, past: Tensor) -> Tensor:
        """``[B,S,L]``, ``[B,S,R]``, ``[B,1,P,L+R]`` → present ``[B,1,T,L+R]``."""
        return torch.cat([past, self.new(c_kv, k_rope)], 2)

    def new(self, c_kv: Tensor, k_rope: Tensor) -> Tensor:
        """The rows of new tokens alone, ``[B,1,S,L+R]``."""
        return torch.cat([c_kv, k_rope], -1).unsqueeze(1)

    def parts(self, present: Tensor) -> tuple[Tensor, Tensor]:
        """c_kv ``[B,1,T,L]`` and k_rope ``[B,1,T,R]``."""
        return present[..., : self.rank], present[..., self.rank :]


class HalfRows(FloatRows):
    """The same in half precision, where the graph computes in float32. 11 binary digits of each number are kept."""

    LARGEST = 65504.0
    """Larger ones are taken for that; in a row there is none, unless a model is broken."""

    def new(self, c_kv: Tensor, k_rope: Tensor) -> Tensor:
        """The rows of new tokens alone, float16 ``[B,1,S,L+R]``."""
        return torch.clamp(super().new(c_kv, k_rope), -self.LARGEST, self.LARGEST).to(torch.float16)

    def parts(self, present: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 again."""
        return super().parts(present.to(torch.float32))


class ByteRows(nn.Module):
    """A row is ``L + R`` codes around 128. The logarithm of their scale is a byte whose bit ``i`` is the lowest of code ``i``.

    Those eight codes are the nearest with the bit that they have to have, a step off at most where the others are half of
    one, and products read them like the others. They come first, where numbers are many: 8 of the latent's 512, not of the
    64 of ``k_rope``.

    Both parts share a scale: ``moved.py`` brings them to one size by factors in the weights, which cost nothing.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.width = architecture.latent_dim

    def forward(self, c_kv: Tensor, k_rope: Tensor, past: Tensor) -> Tensor:
        """``[B,S,L]``, ``[B,S,R]``, ``[B,1,P,L+R]`` uint8 → present ``[B,1,T,L+R]`` uint8."""
        return torch.cat([past, self.new(c_kv, k_rope)], 2)

    def new(self, c_kv: Tensor, k_rope: Tensor) -> Tensor:
        """The rows of new tokens alone, ``[B,1,S,L+R]`` uint8."""
        row = torch.cat([c_kv, k_rope], -1).unsqueeze(1)
        # The smallest and the largest scale that a byte can say, less half a step each, so that no rounding leaves the byte;
        # the largest stands for numbers up to 29,000, and larger ones are taken for that.
        lowest, highest = (2.0 ** (byte / STEPS_PER_OCTAVE - OCTAVES_BELOW_ONE) for byte in (-0.5, 254.5))
        largest = torch.clamp(row.abs().amax(-1, keepdim=True) * (1 / 127), min=lowest, max=highest)
        step = torch.ceil(torch.log(largest) * (STEPS_PER_OCTAVE / math.log(2)))
        # Up to 126.999, of which 127 is the nearest code: the code after the one below is within a byte, too.
        numbers = torch.clamp(row / torch.exp(step * (math.log(2) / STEPS_PER_OCTAVE)), -126.999, 126.999)
        column = torch.arange(self.width)
        carries = column < SCALE_BITS
        below = (numbers + torch.where(carries, float(integers.MIDDLE), integers.MIDDLE + 0.5)).to(torch.uint8)
        # The byte divided by 2^i has its bit i lowest. If that of the code below differs, the code above is the nearest.
        bits = ((step + STEPS_PER_OCTAVE * OCTAVES_BELOW_ONE) * torch.exp2(-column.to(torch.float32))).to(torch.uint8)
        return below + ((below ^ bits) & carries.to(torch.uint8))

    def scales(self, present: Tensor) -> Tensor:
        """In units of ``UNIT``, float ``[B,1,1,T]``."""
        bits = (present[..., :SCALE_BITS] & 1).to(torch.float32)
        powers = torch.exp2(torch.arange(SCALE_BITS, dtype=torch.float32))
        # Sums of powers of two are exact in any order. Factors in them would make a row's scale depend on its place among others.
        return torch.exp(fused.transposed_product(powers.unsqueeze(0), bits, times=math.log(2) / STEPS_PER_OCTAVE))
