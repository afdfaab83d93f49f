"""Attention over a latent cache, in two orders: the same function of the same cache.

- :class:`Absorbed`: W_UK goes into the query and W_UV behind the sum, so that all heads share one key, the row itself,
  and the value is part of the key. 1088 products per query, key and head; nothing is computed per cached token.
- :class:`Expanded`: every head's keys and values are made from the rows for the time of the step. 320 products per query,
  key and head, and 128 Ki per cached token and layer once: less from some 60 new tokens on.

Shapes: B batch, S new tokens, P past tokens, T = P + S, H heads, N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank,
V v_head_dim, W the width of a cached row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.heads import ByteHeads, Heads
from youtu_onnx.families.youtu.graph.rows import UNIT, ByteRows, FloatRows
from youtu_onnx.graphs import fused, integers
from youtu_onnx.graphs.modules import merge_heads

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


class OverHalves(OverFloats):
    """The same over rows of half precision, of which the step has a copy in float32."""

    def __call__(self, query: Tensor, present: Tensor, soften: Soften) -> Tensor:
        return super().__call__(query, present.to(torch.float32), soften)


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
    """As :class:`Absorbed`, with every head's keys and values."""

    def forward(self, q_nope: Tensor, q_rope: Tensor, present: Tensor, bias: Tensor) -> Tensor:
        k_nope, k_rope, values = self.expand(present)
        keys = torch.cat([k_nope, k_rope.expand(-1, k_nope.shape[1], -1, -1)], -1)
        weights = torch.softmax(fused.transposed_product(torch.cat([q_nope, q_rope], -1), keys) + bias, -1)
        return merge_heads(torch.matmul(weights, values))

    def expand(self, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """k_nope ``[B,H,T,N]``, k_rope ``[B,1,T,R]`` and values ``[B,H,T,V]``."""
        raise NotImplementedError


class ExpandedFloats(Expanded):
    """From float rows."""

    def __init__(self, architecture: Architecture, heads: Heads, rows: FloatRows) -> None:
        super().__init__()
        self.heads, self.rows = heads, rows

    def expand(self, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c_kv, k_rope = self.rows.parts(present)
        k_nope, values = self.heads.expand(c_kv)
        return k_nope, k_rope, values


class ExpandedBytes(Expanded):
    """From byte rows."""

    def __init__(self, architecture: Architecture, heads: ByteHeads, rows: ByteRows) -> None:
        super().__init__()
        self.rank, self.heads, self.rows = architecture.kv_lora_rank, heads, rows

    def expand(self, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rank = self.rank
        scale = self.rows.scales(present).transpose(2, 3) * UNIT  # [B,1,T,1]
        k_nope, values = self.heads.expand_codes(present[..., :rank], scale)
        return k_nope, (present[..., rank:].to(torch.float32) - integers.MIDDLE) * scale, values
