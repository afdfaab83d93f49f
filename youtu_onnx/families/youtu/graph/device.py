"""Youtu for GPUs: norms and rotations as providers had them before ONNX did, and no arithmetic with sizes.

A provider has a kernel for the version of an operator that it was written for. CUDA, DirectML and WebGPU have all that a graph of
opset 18 needs; of opset 23 they lack some, and each gap is a copy to the CPU and back.

Shapes: B batch, S new tokens, T tokens so far, H heads, R qk_rope_head_dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph import positions
from youtu_onnx.families.youtu.graph.dialect import Dialect
from youtu_onnx.families.youtu.graph.modules import Projections
from youtu_onnx.graphs.modules import RMSNorm, SimplifiedRMSNorm, split_heads
from youtu_onnx.graphs.parameter import Parameter


class DevicePrologue(nn.Module):
    """As ``Prologue``, in floats: WebGPU has no 64-bit numbers, and what is made of sizes is made on the CPU.

    Tokens are counted, exactly up to 2^24.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        # Tables instead of cos and sin: those of GPUs are not exact for the angles of late positions.
        shape = architecture.max_position_embeddings, architecture.qk_rope_head_dim
        self.rope_cos, self.rope_sin = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(shape))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns hidden ``[B,S,D]``, cos and sin ``[B,S,1,R]`` and the additive bias ``[B,1,S,T]``."""
        hidden = self.embed_tokens(input_ids)
        cos, sin = (nn.functional.embedding(position_ids, table).unsqueeze(2) for table in (self.rope_cos, self.rope_sin))
        mask = attention_mask.float()
        keys, new = (torch.cumsum(x * 0 + 1, 1) for x in (mask, input_ids.float()))  # [B,T]: 1 … T; [B,S]: 1 … S
        rows = new + (keys.amax(1, keepdim=True) - new.amax(1, keepdim=True))
        seen = (keys.unsqueeze(1) <= rows.unsqueeze(2)) & (mask != 0).unsqueeze(1)  # [B,S,T]
        bias = torch.where(seen, 0.0, torch.finfo(hidden.dtype).min).to(hidden.dtype)
        return hidden, cos, sin, bias.unsqueeze(1)


class TableProjections(Projections):
    """Rotations as products with tables in which the sine of a pair's first half is negative."""

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q_nope, q_rope, c_kv, k_rope = self.project(hidden)
        heads, width = self.a.num_attention_heads, self.a.qk_rope_head_dim
        # The key rotates as one more head beside the query's. [B,S,H+1,R]
        both = torch.cat([q_rope.reshape(q_rope.shape[0], q_rope.shape[1], heads, width), k_rope.unsqueeze(2)], 2)
        first, second = both.chunk(2, -1)
        q_rope, k_rope = torch.split(both * cos + torch.cat([second, first], -1) * sin, [heads, 1], 2)
        return (
            split_heads(q_nope, self.a.qk_nope_head_dim),
            q_rope.transpose(1, 2),
            self.kv_a_layernorm(c_kv),
            k_rope.squeeze(2),
        )


@dataclass(frozen=True)
class DeviceDialect(Dialect):
    """For GPUs: an older opset, rotations as products with tables, no arithmetic with sizes."""

    norm: ClassVar[type[RMSNorm]] = SimplifiedRMSNorm
    projections: ClassVar[type[Projections]] = TableProjections
    computes_angles: ClassVar[bool] = False

    def turns(self, a: Architecture) -> tuple[int, ...]:
        return (1, a.qk_rope_head_dim)

    def prologue(self, a: Architecture, *, dither: bool) -> nn.Module:
        return DevicePrologue(a)

    def positions(self, a: Architecture) -> dict[str, Parameter]:
        return positions.tables(a, a.max_position_embeddings)
