"""What slots of the batch graph need beside the model's own modules.

Shapes: B = 1, D tokens in slots, d 1 or 0 of them in a slot, C tokens of the chunk, N = D + C, T tokens of a sequence, H heads,
R qk_rope_head_dim, L kv_lora_rank, V v_head_dim, W = L + R.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from youtu_onnx.families.youtu.graph.attention import OverBytes, OverFloats
from youtu_onnx.families.youtu.graph.heads import Heads
from youtu_onnx.families.youtu.graph.modules import Prologue, thresholds
from youtu_onnx.families.youtu.graph.rows import ByteRows, FloatRows
from youtu_onnx.graphs.modules import merge_heads


class SlotsPrologue(Prologue):
    """As ``Prologue``; the bias, and ``dither``, are the chunk's: a single new token sees all rows of its sequence."""

    def forward(  # type: ignore[override]  # never called as one
        self, ids: Tensor, positions: Tensor, chunk: Tensor, mask: Tensor
    ) -> tuple[Tensor, ...]:
        """ids, positions ``[1,N]``, chunk ``[1,C]``, mask ``[1,T]``."""
        hidden, cos, sin = self.embedded(ids, positions)
        return hidden, cos, sin, *self.bias(chunk, mask, hidden.dtype)


class Thresholds(nn.Module):
    """``dither`` for a slot's rows, ``[1,1,T,W]`` → ``[T]``."""

    def forward(self, present: Tensor) -> Tensor:
        return thresholds(torch.arange(present.shape[2]))


class SlotQueries(nn.Module):
    """``[1,H,D,N]``, ``[1,H,D,R]`` → ``[1,D,H,W]``"""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, q_nope: Tensor, q_rope: Tensor) -> Tensor:
        return torch.cat([self.heads.absorb(q_nope), q_rope], -1).transpose(1, 2)


class SlotAttention(nn.Module):
    """``[1,d,H,W]``, ``[1,1,T,W]`` → ``[1,d,H,W]``"""

    def __init__(self, attend: OverFloats | OverBytes) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, query: Tensor, present: Tensor, *dither: Tensor) -> Tensor:
        return self.attend(query, present, lambda scores: torch.softmax(scores, -1), *dither)


class SlotValues(nn.Module):
    """``[1,D,H,W]`` → ``[1,D,H·V]``"""

    def __init__(self, heads: Heads, rank: int) -> None:
        super().__init__()
        self.heads, self.rank = heads, rank

    def forward(self, context: Tensor) -> Tensor:
        return merge_heads(self.heads.values(context[..., : self.rank].transpose(1, 2)))


class NewRows(nn.Module):
    """``[1,N,L]``, ``[1,N,R]`` → ``[1,1,N,W]``"""

    def __init__(self, rows: FloatRows | ByteRows) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, c_kv: Tensor, k_rope: Tensor) -> Tensor:
        return self.rows.new(c_kv, k_rope)
