"""W_UK and W_UV with a LoRA on ``kv_b_proj`` beside them: ``ΔW = B·A``, whose rows are every head's keys and values.

A works on the latent, which all heads share; B's rows are the heads' own. So a query takes ``(q·B_k)·A`` more into the latent,
and values are ``(c·Aᵀ)·B_v`` more, whichever of the two orders attention has.

Shapes: B batch, S new tokens, T all tokens, H heads, N qk_nope_head_dim, L kv_lora_rank, V v_head_dim, r the adapter's rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.heads import ByteHeads, FloatHeads

TRACED_RANK = 2
"""While it is traced. In the graph it is whatever a run gives, and 0 where it gives none."""


class LatentAdapter(nn.Module):
    """The adapter's part of what :class:`FloatHeads` and :class:`ByteHeads` compute. Factors are there as products want them."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a, heads, rank = architecture, architecture.num_attention_heads, TRACED_RANK
        self.a = nn.Parameter(torch.empty(1, rank, a.kv_lora_rank))
        self.a_t = nn.Parameter(torch.empty(1, a.kv_lora_rank, rank))
        self.b_k = nn.Parameter(torch.empty(heads, a.qk_nope_head_dim, rank))
        self.b_k_t = nn.Parameter(torch.empty(heads, rank, a.qk_nope_head_dim))
        self.b_v = nn.Parameter(torch.empty(heads, rank, a.v_head_dim))

    def absorb(self, q_nope: Tensor) -> Tensor:
        """``[B,H,S,N]`` → ``[B,H,S,L]``"""
        return torch.matmul(torch.matmul(q_nope, self.b_k), self.a)

    def values(self, latent: Tensor) -> Tensor:
        """``[B,H|1,S,L]`` → ``[B,H,S,V]``"""
        return torch.matmul(torch.matmul(latent, self.a_t), self.b_v)

    def keys(self, c_kv: Tensor) -> Tensor:
        """``[B,1,T,L]`` → ``[B,H,T,N]``"""
        return torch.matmul(torch.matmul(c_kv, self.a_t), self.b_k_t)


class AdaptedFloatHeads(FloatHeads):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.lora = LatentAdapter(architecture)

    def absorb(self, q_nope: Tensor) -> Tensor:
        return super().absorb(q_nope) + self.lora.absorb(q_nope)

    def values(self, latent: Tensor) -> Tensor:
        return super().values(latent) + self.lora.values(latent)

    def expand(self, c_kv: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = super().expand(c_kv)  # whose values are these heads' own, adapter and all
        return keys + self.lora.keys(c_kv), values


class AdaptedByteHeads(ByteHeads):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.lora = LatentAdapter(architecture)

    def absorb(self, q_nope: Tensor) -> Tensor:
        return super().absorb(q_nope) + self.lora.absorb(q_nope)

    def values(self, latent: Tensor) -> Tensor:
        return super().values(latent) + self.lora.values(latent)

    def expand(self, c_kv: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = super().expand(c_kv)
        return keys + self.lora.keys(c_kv), values + self.lora.values(c_kv)
