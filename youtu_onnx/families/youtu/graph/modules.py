"""Youtu as torch modules made to be traced, in parts: what precedes the layers, one layer, what follows them.

All layers are alike, so one is traced and repeated in the graph; its attention over a latent cache is in ``attention.py``.
Parameter names are Hugging Face's, except where several tensors are fused or one is split for the graph's sake;
``parameters.py`` says how each is built:

- ``self_attn.qkv_a_proj``: ``q_a_proj`` (or ``q_proj``) and ``kv_a_proj_with_mqa``, which read the same input;
- ``self_attn.heads.*``: the two halves of ``kv_b_proj``, W_UK and W_UV, which the latent form absorbs.

Rows of a projection are reordered so that all heads' ``nope`` parts come before all heads' ``rope`` parts, and
interleaved RoPE pairs become halves: rotations then need no strided access. The softmax scale is in the query's weights.

Shapes: B batch, S new tokens, P past tokens, T = P + S, H heads, N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.onnx.ops import rotary_embedding

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.rope import attention_scaling
from youtu_onnx.graphs.modules import RMSNorm, merge_heads, split_heads

LATENT_NORM_EPS = 1e-6
"""transformers builds q_a_layernorm and kv_a_layernorm with this epsilon, whatever rms_norm_eps says."""


class Prologue(nn.Module):
    """Token embedding, RoPE's cos and sin, and the attention bias, computed once and used by every layer."""

    def __init__(self, architecture: Architecture, *, dither: bool = False) -> None:
        super().__init__()
        self.dither = dither
        self.embed_tokens = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        self.inv_freq = nn.Parameter(torch.ones(architecture.qk_rope_head_dim // 2, dtype=torch.float32))
        self.architecture = architecture
        self.attention_scaling = attention_scaling(architecture)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        """Returns hidden ``[B,S,D]``, cos and sin ``[B,S,R/2]``, the additive bias ``[B,1,S,T]``, and with ``dither`` a
        number within [0, 1) for each key, ``[T]``."""
        hidden, cos, sin = self.embedded(input_ids, position_ids)
        return hidden, cos, sin, *self.bias(input_ids, attention_mask, hidden.dtype)

    def embedded(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.embed_tokens(input_ids)
        angles = position_ids.unsqueeze(-1).float() * self.frequencies(position_ids)  # [B,S,R/2]
        cos = (angles.cos() * self.attention_scaling).to(hidden.dtype)
        sin = (angles.sin() * self.attention_scaling).to(hidden.dtype)
        return hidden, cos, sin

    def bias(self, input_ids: Tensor, attention_mask: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The bias, and with ``dither`` the thresholds."""
        new, total = input_ids.shape[1], attention_mask.shape[1]
        keys = torch.arange(total)
        causal = keys.unsqueeze(0) <= (torch.arange(new) + (total - new)).unsqueeze(1)  # [S,T]
        seen = causal & (attention_mask != 0).unsqueeze(1).unsqueeze(1)  # [B,1,S,T]
        # Finite, so that a padding row, which sees nothing, gives numbers that nobody reads and not NaN.
        bias = torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)
        return (bias, thresholds(keys)) if self.dither else (bias,)

    def frequencies(self, position_ids: Tensor) -> Tensor:
        rope = self.architecture.rope
        if rope.rope_type != "dynamic":
            return self.inv_freq
        # Dynamic NTK: beyond the trained context the base grows with the sequence, so it is part of the graph.
        dim, trained = self.architecture.qk_rope_head_dim, self.architecture.max_position_embeddings
        length = torch.clamp(position_ids.max() + 1, min=trained).float()
        stretch = (rope.factor * length / trained) - (rope.factor - 1)
        exponents = torch.arange(0, dim, 2).float() / (dim - 2)  # theta's growth stretch^(dim/(dim-2)), to the power i/dim
        return self.inv_freq * stretch ** (-exponents)


GOLDEN = 0.6180339887
"""Its multiples' fractions fill [0, 1) more evenly than chance, over any run of tokens."""


def thresholds(keys: Tensor) -> Tensor:
    """A number within [0, 1) for each key, ``[T]``."""
    multiples = keys.float() * GOLDEN
    return multiples - multiples.floor()


class Projection(nn.Module):
    """From hidden states to queries and to what a token leaves in the cache."""

    def __init__(self, architecture: Architecture, norm: type[RMSNorm], projections: type[Projections]) -> None:
        super().__init__()
        self.input_layernorm = norm(architecture.hidden_size, architecture.rms_norm_eps)
        self.self_attn = projections(architecture, norm)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns q_nope ``[B,H,S,N]``, q_rope ``[B,H,S,R]``, c_kv ``[B,S,L]`` and k_rope ``[B,S,R]``, rotated."""
        made: tuple[Tensor, Tensor, Tensor, Tensor] = self.self_attn(self.input_layernorm(hidden), cos, sin)
        return made


class Projections(nn.Module):
    def __init__(self, architecture: Architecture, norm: type[RMSNorm] = RMSNorm) -> None:
        super().__init__()
        a = self.a = architecture
        query = a.num_attention_heads * a.qk_head_dim
        self.qkv_a_proj = nn.Linear(a.hidden_size, (a.q_lora_rank or query) + a.latent_dim, bias=a.attention_bias)
        if a.q_lora_rank is not None:
            self.q_a_layernorm = norm(a.q_lora_rank, LATENT_NORM_EPS)
            self.q_b_proj = nn.Linear(a.q_lora_rank, query, bias=False)
        self.kv_a_layernorm = norm(a.kv_lora_rank, LATENT_NORM_EPS)

    def project(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q_nope ``[B,S,H·N]``, q_rope ``[B,S,H·R]``, c_kv ``[B,S,L]`` before its norm, and k_rope ``[B,S,R]``, unrotated."""
        a, heads = self.a, self.a.num_attention_heads
        nope, rope = heads * a.qk_nope_head_dim, heads * a.qk_rope_head_dim
        projected = self.qkv_a_proj(hidden)
        if a.q_lora_rank is None:
            q_nope, q_rope, c_kv, k_rope = projected.split([nope, rope, a.kv_lora_rank, a.qk_rope_head_dim], -1)
        else:
            q_a, c_kv, k_rope = projected.split([a.q_lora_rank, a.kv_lora_rank, a.qk_rope_head_dim], -1)
            q_nope, q_rope = self.q_b_proj(self.q_a_layernorm(q_a)).split([nope, rope], -1)
        return q_nope, q_rope, c_kv, k_rope

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a, heads = self.a, self.a.num_attention_heads
        q_nope, q_rope, c_kv, k_rope = self.project(hidden)
        # The key rotates as one more head beside the query's: one operator instead of two.
        rotated = rotary_embedding(torch.cat([q_rope, k_rope], -1), cos, sin, num_heads=heads + 1)
        q_rope, k_rope = torch.split(rotated, [heads * a.qk_rope_head_dim, a.qk_rope_head_dim], -1)
        return (
            split_heads(q_nope, a.qk_nope_head_dim),
            split_heads(q_rope, a.qk_rope_head_dim),
            self.kv_a_layernorm(c_kv),
            k_rope,
        )


class ExpandedCache(nn.Module):
    """Ordinary attention over every head's key and value, expanded from the latent before they are cached."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.a = architecture
        self.kv_b_proj = nn.Linear(a.kv_lora_rank, a.num_attention_heads * (a.qk_nope_head_dim + a.v_head_dim), bias=False)

    def forward(
        self, q_nope: Tensor, q_rope: Tensor, c_kv: Tensor, k_rope: Tensor, bias: Tensor, past_key: Tensor, past_value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``past_key`` ``[B,H,P,N+R]``, ``past_value`` ``[B,H,P,V]``; returns the context ``[B,S,H·V]`` and both presents."""
        a, heads = self.a, self.a.num_attention_heads
        k_nope, value = self.kv_b_proj(c_kv).split([heads * a.qk_nope_head_dim, heads * a.v_head_dim], -1)
        k_rope = k_rope.unsqueeze(1).expand(-1, heads, -1, -1)  # [B,H,S,R]
        key = torch.cat([past_key, torch.cat([split_heads(k_nope, a.qk_nope_head_dim), k_rope], -1)], 2)
        value = torch.cat([past_value, split_heads(value, a.v_head_dim)], 2)
        scores = torch.matmul(torch.cat([q_nope, q_rope], -1), key.transpose(2, 3)) + bias
        context = torch.matmul(torch.softmax(scores, -1), value)
        return merge_heads(context), key, value
