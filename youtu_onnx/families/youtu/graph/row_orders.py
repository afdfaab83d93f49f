"""In which order rows of projections stand in the graph.

All heads' ``nope`` parts come before all heads' ``rope`` parts, and interleaved RoPE pairs become halves: rotations then need no
strided access. For 2 heads of 2 ``nope`` and 4 ``rope`` rows::

    checkpoint   n0 n1 r0 r1 r2 r3   n0'n1'r0'r1'r2'r3'        r0 and r1 rotate together, as do r2 and r3
    graph        n0 n1 n0'n1'   r0 r2 r1 r3   r0'r2'r1'r3'     the first half with the second
"""

from __future__ import annotations

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture


def rope_order(a: Architecture) -> Tensor:
    """Of RoPE's dimensions: interleaved pairs (0,1)(2,3)… become halves 0,2,… 1,3,…, as the reference caches them."""
    order = torch.arange(a.qk_rope_head_dim)
    return torch.cat([order[0::2], order[1::2]]) if a.rope_interleave else order


def query_rows(a: Architecture) -> Tensor:
    """Of q_b_proj (or q_proj): every head's nope part, then every head's rope part."""
    rows = torch.arange(a.num_attention_heads * a.qk_head_dim).view(a.num_attention_heads, a.qk_head_dim)
    rope = rows[:, a.qk_nope_head_dim :][:, rope_order(a)]
    return torch.cat([rows[:, : a.qk_nope_head_dim].reshape(-1), rope.reshape(-1)])


def key_rows(a: Architecture) -> Tensor:
    """Of kv_a_proj_with_mqa: the latent as it is, then the shared rope key in the query's order."""
    return torch.cat([torch.arange(a.kv_lora_rank), a.kv_lora_rank + rope_order(a)])


def expanded_rows(a: Architecture) -> Tensor:
    """Of kv_b_proj: every head's key rows, then every head's value rows."""
    heads, nope, value = a.num_attention_heads, a.qk_nope_head_dim, a.v_head_dim
    rows = torch.arange(heads * (nope + value)).view(heads, nope + value)
    return torch.cat([rows[:, :nope].reshape(-1), rows[:, nope:].reshape(-1)])
