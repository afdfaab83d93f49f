"""Factors that cost nothing at run time, moved from one matrix of a layer into another.

- Integer heads: the scale of each row of W_UK goes into the row of the query's projection that meets it.
- A cache of bytes, whose rows have one scale for both parts: ``kv_a_layernorm``'s gain goes into W_UK and W_UV, so that the
  cached latent has the root mean square 1; and each pair of rotated dimensions is divided by the size that its weights give it
  for inputs without direction, and the query multiplied.

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
        return (KV_A, INPUT_NORM) if self.between_parts else ()

    @property
    def sources_of_halves(self) -> tuple[str, ...]:
        """What :meth:`halves` takes beside kv_b_proj."""
        return (KV_A_NORM,) if self.between_parts else ()

    @property
    def sources_of_query(self) -> tuple[str, ...]:
        """What :meth:`of_query` is made of."""
        return (KV_B, *self.sources_of_halves, *self.sources_of_keys) if self.into_query else ()

    def of_query(self, given: Given) -> Tensor:
        """What to multiply the query's rows with, in the graph's order: ``[H·(N+R)]``."""
        rope = self._rope_sizes(given) if self.between_parts else torch.ones(self.a.qk_rope_head_dim)
        return torch.cat([row_scales(self.halves(given).w_uk).reshape(-1), rope.repeat(self.a.num_attention_heads)])

    def of_keys(self, given: Given) -> Tensor:
        """What to divide rows of kv_a_proj_with_mqa by, in the graph's order: ``[L+R]``."""
        return torch.cat([torch.ones(self.a.kv_lora_rank), self._rope_sizes(given)])

    def halves(self, given: Given) -> Halves:
        """With the latent's gain where it was moved here."""
        a = self.a
        parts = given[KV_B].view(a.num_attention_heads, a.qk_nope_head_dim + a.v_head_dim, a.kv_lora_rank)
        if self.into_query:
            parts = parts.float()
        if self.between_parts:
            parts = parts * given[KV_A_NORM].float()
        return Halves(*torch.split(parts, [a.qk_nope_head_dim, a.v_head_dim], 1))

    def _rope_sizes(self, given: Given) -> Tensor:
        """``[R]`` in the graph's order: root mean squares of k_rope for normalised inputs without direction, by rotated pair.

        Both of a pair share one, so that the rotation commutes with the division. None is so small that it could not be
        divided by.
        """
        a = self.a
        rows = given[KV_A][key_rows(a)[a.kv_lora_rank :]].float() * given[INPUT_NORM].float()
        squares = rows.square().sum(-1)
        half = a.qk_rope_head_dim // 2
        sizes = ((squares[:half] + squares[half:]) / 2).sqrt()
        return torch.clamp(sizes, min=float(sizes.max()) / 64 or 1.0).repeat(2)


def row_scales(weight: Tensor) -> Tensor:
    """Scales of int8 rows: ``[…,K]`` → ``[…]`` float32."""
    return weight.float().abs().amax(-1).clamp(min=torch.finfo(torch.float32).tiny * 127) / 127


def row_codes(weight: Tensor) -> Tensor:
    """int8 ``[…,K]`` of rows with :func:`row_scales`."""
    return torch.round(weight / row_scales(weight).unsqueeze(-1)).to(torch.int8)
