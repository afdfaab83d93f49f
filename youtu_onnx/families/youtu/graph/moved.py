"""Factors that cost nothing at run time, moved from one matrix of a layer into another.

- Integer heads: the scale of each row of W_UK goes into the row of the query's projection that meets it.
- A cache of bytes, whose rows have one scale for all their numbers: each channel of the latent, and each pair of rotated
  dimensions, is divided by the size that its weights and its bias give it for inputs without direction. The latent's sizes and
  ``kv_a_layernorm``'s gain go into W_UK and W_UV, those of pairs into the query. Channels that nobody reads become zeros.

Shapes: H heads, N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank, V v_head_dim.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.families.youtu.graph.row_orders import key_rows
from youtu_onnx.graphs.parameter import Given

INPUT_NORM = "input_layernorm.weight"
KV_A, KV_A_BIAS = "self_attn.kv_a_proj_with_mqa.weight", "self_attn.kv_a_proj_with_mqa.bias"
KV_A_NORM, KV_B = "self_attn.kv_a_layernorm.weight", "self_attn.kv_b_proj.weight"
LATENT_GROWTH = 2.0
"""Root mean square of a cached latent's channel, in that of a rotated pair. Inputs have directions, and keys like them: in a
language model keys are some twice as large as for inputs without, and their largest number three times the latent's. So the
latent has room to grow in a row whose scale the keys say (docs/notes.md has the measurement)."""
RANGE = 64
"""Nothing is divided by less than the largest size over this."""


@dataclass(frozen=True)
class Halves:
    """Of kv_b_proj: W_UK ``[H,N,L]`` and W_UVᵀ ``[H,V,L]``."""

    w_uk: Tensor
    w_uv_t: Tensor


@dataclass(frozen=True)
class MovedFactors:
    """The factors of one layer, from its tensors by their names in the layer.

    Attributes:
        latent: None where every head's keys and values are cached, and nothing is moved.
    """

    a: Architecture
    latent: Latent | None

    @property
    def into_query(self) -> bool:
        return self.latent is not None and self.latent.integer_heads

    @property
    def between_parts(self) -> bool:
        """Whether the two parts of a cached row are brought to one size."""
        return self.latent is not None and self.latent.bytes

    @property
    def sources_of_keys(self) -> tuple[str, ...]:
        """What :meth:`of_keys` is made of."""
        if not self.between_parts:
            return ()
        return (KV_A, INPUT_NORM, KV_A_BIAS) if self.a.attention_bias else (KV_A, INPUT_NORM)

    @property
    def sources_of_halves(self) -> tuple[str, ...]:
        """What :meth:`halves` takes beside kv_b_proj."""
        return (KV_A_NORM, *self.sources_of_keys) if self.between_parts else ()

    @property
    def sources_of_query(self) -> tuple[str, ...]:
        """What :meth:`of_query` is made of."""
        return (KV_B, *self.sources_of_halves) if self.into_query else ()

    def of_query(self, given: Given) -> Tensor:
        """What to multiply the query's rows with, in the graph's order: ``[H·(N+R)]``."""
        rope = self._rope_sizes(given) if self.between_parts else torch.ones(self.a.qk_rope_head_dim)
        return torch.cat([row_scales(self.halves(given).w_uk).reshape(-1), rope.repeat(self.a.num_attention_heads)])

    def of_keys(self, given: Given) -> Tensor:
        """What to divide rows of kv_a_proj_with_mqa by, in the graph's order: ``[L+R]``."""
        return torch.cat([torch.ones(self.a.kv_lora_rank), self._rope_sizes(given)])

    def of_latent(self, given: Given) -> Tensor:
        """What stands in ``kv_a_layernorm``'s place, ``[L]``: one over each channel's size, 0 of those that nobody reads."""
        read = (given[KV_A_NORM] != 0) & (given[KV_B] != 0).any(0)
        return torch.where(read, 1 / self._latent_sizes(given), 0.0)

    def halves(self, given: Given) -> Halves:
        """With the latent's gain and sizes where they were moved here."""
        a = self.a
        parts = given[KV_B].view(a.num_attention_heads, a.qk_nope_head_dim + a.v_head_dim, a.kv_lora_rank)
        if self.into_query:
            parts = parts.float()
        if self.between_parts:
            parts = parts * (given[KV_A_NORM].float() * self._latent_sizes(given))
        return Halves(*torch.split(parts, [a.qk_nope_head_dim, a.v_head_dim], 1))

    def _latent_sizes(self, given: Given) -> Tensor:
        """``[L]``: root mean squares of the normalised latent's channels, over :data:`LATENT_GROWTH`."""
        squares = self._squares(given, torch.arange(self.a.kv_lora_rank))
        sizes = squares.sqrt() / squares.mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
        return _none_tiny(sizes) / LATENT_GROWTH

    def _rope_sizes(self, given: Given) -> Tensor:
        """``[R]`` in the graph's order: root mean squares of k_rope, by rotated pair.

        Both of a pair share one, so that the rotation commutes with the division.
        """
        squares = self._squares(given, key_rows(self.a)[self.a.kv_lora_rank :])
        half = self.a.qk_rope_head_dim // 2
        return _none_tiny(((squares[:half] + squares[half:]) / 2).sqrt()).repeat(2)

    def _squares(self, given: Given, rows: Tensor) -> Tensor:
        """Mean squares of some rows of kv_a_proj_with_mqa's result, for normalised inputs without direction."""
        squares = (given[KV_A][rows].float() * given[INPUT_NORM].float()).square().sum(-1)
        return squares + given[KV_A_BIAS][rows].float().square() if self.a.attention_bias else squares


def _none_tiny(sizes: Tensor) -> Tensor:
    return torch.clamp(sizes, min=float(sizes.max()) / RANGE or 1.0)


def row_scales(weight: Tensor) -> Tensor:
    """Scales of int8 rows: ``[…,K]`` → ``[…]`` float32."""
    return weight.float().abs().amax(-1).clamp(min=torch.finfo(torch.float32).tiny * 127) / 127


def row_codes(weight: Tensor) -> Tensor:
    """int8 ``[…,K]`` of rows with :func:`row_scales`."""
    return torch.round(weight / row_scales(weight).unsqueeze(-1)).to(torch.int8)
