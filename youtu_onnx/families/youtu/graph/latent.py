"""Attention over a latent cache: how a token's row is kept, and two ways to attend to the rows.

The same function of the same cache, computed in two orders:

- :class:`Absorbed`: W_UK goes into the query and W_UV behind the sum, so that all heads share one key, the row itself,
  and the value is part of the key. 1088 products per query, key and head; nothing is computed per cached token.
- :class:`Expanded`: every head's keys and values are made from the rows for the time of the step. 320 products per query,
  key and head, and 128 Ki per cached token and layer once: less from some 60 new tokens on.

Shapes: B batch, S new tokens, P past tokens, T = P + S, H heads, N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank,
V v_head_dim, W the width of a cached row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import SCALE_BITS
from youtu_onnx.families.youtu.graph.modules import merge_heads
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


class ByteRows(nn.Module):
    """A row is ``L + R`` codes around 128. The logarithm of their scale is a byte whose bit ``i`` is the lowest of code ``i``.

    Those eight codes are the nearest with the bit that they have to have, a step off at most where the others are half of
    one, and products read them like the others. They come first, where numbers are many: 8 of the latent's 512, not of the
    64 of ``k_rope``.

    Both parts share a scale: ``parameters.py`` brings them to one size by factors in the weights, which cost nothing.
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
        powers = torch.exp2(torch.arange(SCALE_BITS, dtype=torch.float32)) * (math.log(2) / STEPS_PER_OCTAVE)
        return torch.exp(fused.transposed_product(powers.unsqueeze(0), bits))


class FloatHeads(nn.Module):
    """W_UK and W_UV as floats."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.w_uk = nn.Parameter(torch.empty(a.num_attention_heads, a.qk_nope_head_dim, a.kv_lora_rank))
        self.w_uv = nn.Parameter(torch.empty(a.num_attention_heads, a.kv_lora_rank, a.v_head_dim))

    def absorb(self, q_nope: Tensor) -> Tensor:
        """``[B,H,S,N]`` → ``[B,H,S,L]``"""
        return torch.matmul(q_nope, self.w_uk)

    def values(self, latent: Tensor) -> Tensor:
        """``[B,H|1,S,L]`` → ``[B,H,S,V]``"""
        return torch.matmul(latent, self.w_uv)

    def expand(self, c_kv: Tensor) -> tuple[Tensor, Tensor]:
        """``[B,1,T,L]`` → keys ``[B,H,T,N]`` and values ``[B,H,T,V]``."""
        return fused.transposed_product(c_kv, self.w_uk), self.values(c_kv)


class ByteHeads(nn.Module):
    """W_UK and W_UV as int8: a quarter of the float32 bytes that every token would read.

    W_UK has a scale for each row, which ``parameters.py`` moves into the query's projection, and W_UV one for each column.
    W_UK is there twice, once for each order, since an integer product takes its right operand in one order only.

    The products of a decode step run without a zero point, and its share is taken off behind (``…_offsets``): only then has
    ONNX Runtime a kernel for a single row, and that is at its best up to ``COLUMNS``. So W_UK's columns are in parts.
    """

    COLUMNS = 128

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a, heads = architecture, architecture.num_attention_heads

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape, dtype=torch.int8), requires_grad=False)

        parts = self.parts(a)
        self.w_uk_q8 = empty(heads, parts, a.qk_nope_head_dim, a.kv_lora_rank // parts)
        self.w_uk_offsets = nn.Parameter(torch.empty(heads, 1, a.kv_lora_rank))
        self.w_uk_t_q8 = empty(heads, a.kv_lora_rank, a.qk_nope_head_dim)
        self.w_uv_q8 = empty(heads, a.kv_lora_rank, a.v_head_dim)
        self.w_uv_offsets = nn.Parameter(torch.empty(heads, 1, a.v_head_dim))
        self.w_uv_scales = nn.Parameter(torch.empty(heads, 1, a.v_head_dim))

    @classmethod
    def parts(cls, architecture: Architecture) -> int:
        """Into how many parts W_UK's columns are cut."""
        return architecture.kv_lora_rank // math.gcd(architecture.kv_lora_rank, cls.COLUMNS)

    def absorb(self, q_nope: Tensor) -> Tensor:
        codes, scale = integers.quantize_rows(q_nope)
        batch, heads, new, _ = q_nope.shape
        sums = integers.raw_sums(codes.unsqueeze(2), self.w_uk_q8)  # [B,H,parts,S,L/parts]
        sums = sums.transpose(2, 3).reshape(batch, heads, new, -1).to(torch.float32)
        return (sums - self.w_uk_offsets) * scale

    def values(self, latent: Tensor) -> Tensor:
        codes, scale = integers.quantize_rows(latent)
        sums = integers.raw_sums(codes, self.w_uv_q8).to(torch.float32)
        return (sums - self.w_uv_offsets) * self.w_uv_scales * scale

    def expand(self, c_kv: Tensor) -> tuple[Tensor, Tensor]:
        return self.expand_codes(*integers.quantize_rows(c_kv))

    def expand_codes(self, codes: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Codes uint8 ``[B,1,T,L]`` of scales ``[B,1,T,1]`` → keys ``[B,H,T,N]`` and values ``[B,H,T,V]``."""
        keys = integers.product(codes, self.w_uk_t_q8) * scale
        return keys, integers.product(codes, self.w_uv_q8, self.w_uv_scales) * scale


Heads = FloatHeads | ByteHeads


Soften = Callable[[Tensor], Tensor]
"""Scores ``[B,G,M,T]`` → weights of the same shape, whose rows sum to one."""


class OverFloats:
    """Attention of queries to float rows. G and M: queries as they come, ``B·G`` groups of ``M``."""

    def __init__(self, *, keys_first: bool) -> None:
        """``keys_first``: K·qᵀ instead of q·Kᵀ, on CPUs twice as fast for the few rows of a decode step."""
        self.keys_first = keys_first

    def __call__(self, query: Tensor, present: Tensor, soften: Soften) -> Tensor:
        """``[B,G,M,W]``, ``[B,1,T,W]`` → ``[B,G,M,W]``, of which ``L`` are the context."""
        if self.keys_first:
            scores = fused.transposed_product(present, query).transpose(2, 3)
        else:
            scores = torch.matmul(query, present.transpose(2, 3))
        # Multiplying k_rope too and dropping it costs R/L more products, but no copy of the cache's columns.
        return torch.matmul(soften(scores), present)


class OverBytes:
    """Attention of queries to byte rows, which both products read as they are.

    A row's scale goes on its scores, and on its weight before the weights are rounded. They become 14 bits, half of them a
    byte, relative to a head's largest: with eight, an int32 could not hold the sum over 131,072 tokens. Where one token takes
    nearly all attention, as first tokens do, thousands of others still share a tenth of it at less than a step of those 14
    bits each. So they are rounded up as often as they are large, by a threshold that differs from token to token
    (``dither``): what they say together stays.
    """

    HALF = 128
    """Of the codes of a weight: its upper and its lower half are below it."""

    def __init__(self, architecture: Architecture) -> None:
        self.rows = ByteRows(architecture)

    def __call__(self, query: Tensor, present: Tensor, soften: Soften, dither: Tensor) -> Tensor:
        """``[B,G,M,W]``, ``[B,1,T,W]``, and ``[T]`` within [0, 1) → ``[B,G,M,W]``, of which ``L`` are the context."""
        codes, query_scale = integers.quantize_signed(query)
        scores = integers.integer_product(present, codes.transpose(2, 3)).transpose(2, 3).to(torch.float32)  # [B,G,M,T]
        scale = self.rows.scales(present)  # [B,1,1,T]; read after the product, which has brought the rows near
        weights = soften(scores * scale * (query_scale * UNIT)) * scale
        largest = weights.amax(-1, keepdim=True)  # at least a T-th of the smallest scale, so not zero
        top = (self.HALF - 1) * self.HALF
        steps = weights * (top / largest) + dither
        high = torch.floor(steps * (1 / self.HALF))
        both = torch.cat([high, steps - high * self.HALF], 2).to(torch.uint8)  # [B,G,2·M,T]
        context = integers.sums(both, present).to(torch.float32)
        rows = query.shape[2]
        return (context[:, :, :rows] * self.HALF + context[:, :, rows:]) * (largest * (UNIT / top))


class Absorbed(nn.Module):
    """q_nope ``[B,H,S,N]``, q_rope ``[B,H,S,R]``, present ``[B,1,T,W]``, bias ``[B,1,S,T]`` → ``[B,S,H·V]``.

    All heads' queries are rows of one matrix product, since all share the key.
    """

    def __init__(self, architecture: Architecture, heads: Heads, attend: OverFloats | OverBytes) -> None:
        super().__init__()
        self.a, self.heads, self.attend = architecture, heads, attend

    def forward(self, q_nope: Tensor, q_rope: Tensor, present: Tensor, bias: Tensor, *dither: Tensor) -> Tensor:
        """``dither``: what :class:`OverBytes` takes more."""
        batch, heads, new, _ = q_nope.shape
        total = present.shape[2]

        def soften(scores: Tensor) -> Tensor:
            return torch.softmax(scores.reshape(batch, heads, new, total) + bias, -1).reshape(batch, 1, heads * new, total)

        context = self.attend(self.query(q_nope, q_rope), present, soften, *dither)
        context = context.reshape(batch, heads, new, self.a.latent_dim)[..., : self.a.kv_lora_rank]
        return merge_heads(self.heads.values(context))

    def query(self, q_nope: Tensor, q_rope: Tensor) -> Tensor:
        """``[B,1,H·S,L+R]``"""
        batch, heads, new, _ = q_nope.shape
        return torch.cat([self.heads.absorb(q_nope), q_rope], -1).reshape(batch, 1, heads * new, self.a.latent_dim)


class Expanded(nn.Module):
    """As :class:`Absorbed`, with every head's keys and values, made from float rows."""

    def __init__(self, architecture: Architecture, heads: Heads, rows: FloatRows | ByteRows) -> None:
        super().__init__()
        self.a, self.heads, self.rows = architecture, heads, rows

    def forward(self, q_nope: Tensor, q_rope: Tensor, present: Tensor, bias: Tensor) -> Tensor:
        k_nope, k_rope, values = self.expand(present)
        keys = torch.cat([k_nope, k_rope.expand(-1, k_nope.shape[1], -1, -1)], -1)
        weights = torch.softmax(fused.transposed_product(torch.cat([q_nope, q_rope], -1), keys) + bias, -1)
        return merge_heads(torch.matmul(weights, values))

    def expand(self, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """k_nope ``[B,H,T,N]``, k_rope ``[B,1,T,R]`` and values ``[B,H,T,V]``."""
        c_kv, k_rope = self.rows.parts(present)
        k_nope, values = self.heads.expand(c_kv)
        return k_nope, k_rope, values


class ExpandedBytes(Expanded):
    """The same from byte rows."""

    def expand(self, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rank = self.a.kv_lora_rank
        scale = self.rows.scales(present).transpose(2, 3) * UNIT  # [B,1,T,1]
        k_nope, values = self.heads.expand_codes(present[..., :rank], scale)
        return k_nope, (present[..., rank:].to(torch.float32) - integers.MIDDLE) * scale, values
