"""MicroReason for GPUs: norms and rotations as providers had them before ONNX did, and no arithmetic with sizes.

See ``families/youtu/graph/device.py`` and ``static.py``, whose reasons are the same.

Shapes: B batch, S new tokens, T tokens so far, M reserved length, C hidden_size, H heads, D head_dim, W a cached row's width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.modules import Attention, Projections, hidden_from_view


class TablePrologue(nn.Module):
    """Cosines and sines from tables: those of GPUs are not exact for the angles of late positions."""

    def __init__(self, architecture: Architecture, length: int) -> None:
        """``length``: of the tables."""
        super().__init__()
        self.a = architecture
        self.embed_tokens = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        self.rope_cos, self.rope_sin = (nn.Parameter(torch.ones(length, architecture.head_dim)) for _ in ("cos", "sin"))

    def embedded(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden ``[B,S,C]``, cos and sin ``[B,S,1,D]``."""
        cos, sin = (nn.functional.embedding(position_ids, table).unsqueeze(2) for table in (self.rope_cos, self.rope_sin))
        return self.embed_tokens(input_ids), cos, sin

    def biases(self, seen: Tensor, far: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Of what may be seen ``[B,S,T]`` and what is beyond the window ``[1,S,T]``, what is added to scores, ``[…,1,S,T]``."""
        never = hidden_from_view(dtype)
        bias = torch.where(seen, 0.0, never).to(dtype).unsqueeze(1)
        return (bias, torch.where(far, never, 0.0).to(dtype).unsqueeze(1)) if self.a.attention_routing else (bias,)


class DevicePrologue(TablePrologue):
    """As ``Prologue``, in floats: tokens are counted, exactly up to 2^24."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture, architecture.max_position_embeddings)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        hidden, cos, sin = self.embedded(input_ids, position_ids)
        mask = attention_mask.float()
        keys, new = (torch.cumsum(x * 0 + 1, 1) for x in (mask, input_ids.float()))  # [B,T]: 1 … T; [B,S]: 1 … S
        rows = (new + (keys.amax(1, keepdim=True) - new.amax(1, keepdim=True))).unsqueeze(2)  # [B,S,1]
        keys = keys.unsqueeze(1)
        seen = (keys <= rows) & (mask != 0).unsqueeze(1)  # [B,S,T]
        far = keys[:1] <= rows[:1] - self.a.attention_window  # all sequences end together
        return hidden, cos, sin, *self.biases(seen, far, hidden.dtype)


class StaticPrologue(TablePrologue):
    """As ``DevicePrologue`` over buffers of ``length`` rows; and which of them are kept, and which are written."""

    def __init__(self, architecture: Architecture, length: int) -> None:
        super().__init__(architecture, length)
        self.length = length
        self.slots = nn.Parameter(torch.ones(length, dtype=torch.float32))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        """The mask is ``[B,T…M]``: zeros behind token T may be there or not.

        Returns hidden ``[B,S,C]``, cos and sin ``[B,S,1,D]``, kept ``[B,1,M,1]`` bool, written ``[1,1,M,S]``, one where a row
        takes a new token and zero elsewhere, the bias ``[B,1,S,M]``, and ``far`` ``[1,1,S,M]`` where the model routes.
        """
        hidden, cos, sin = self.embedded(input_ids, position_ids)
        none = input_ids[:, :1].float() * 0 * self.slots  # [B,M]
        mask = torch.cat([attention_mask.float(), none], 1)[:, : self.length] != 0
        total = ((self.slots + 1) * mask.float()).amax((0, 1), keepdim=True)  # [1,1]
        counted = torch.cumsum(input_ids[:1].float() * 0 + 1, 1)  # [1,S]: 1 … S
        new = counted.amax(1, keepdim=True)  # [1,1]
        rows = (counted + (total - new - 1)).unsqueeze(2)  # [1,S,1]
        seen = mask.unsqueeze(1) & (self.slots <= rows)  # [B,S,M]
        kept = (mask & (self.slots < total - new)).unsqueeze(1).unsqueeze(3)
        written = (self.slots.unsqueeze(1) == rows.transpose(1, 2)).to(hidden.dtype).unsqueeze(0)
        far = self.slots <= rows - self.a.attention_window
        return hidden, cos, sin, kept, written, *self.biases(seen, far, hidden.dtype)


class TableProjections(Projections):
    """Rotations as products with tables in which the sine of a pair's first half is negative."""

    def rotated(self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        heads = self.a.num_attention_heads
        both = torch.cat([query, key], 2)  # [B,S,2·H,D]
        first, second = both.chunk(2, -1)
        turned = both * cos + torch.cat([second, first], -1) * sin
        query, key = torch.split(turned, [heads, heads], 2)
        return query, key


class StaticAttention(Attention):
    """Over buffers of a reserved length."""

    def forward(  # type: ignore[override]  # never called as one
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        past_key: Tensor,
        past_value: Tensor,
        kept: Tensor,
        written: Tensor,
        bias: Tensor,
        *far: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of the past that aren't kept are never computed with: they may hold anything."""
        key, value = (torch.where(kept, past, torch.matmul(written, new)) for past, new in ((past_key, key), (past_value, value)))
        return self.attend(query, key, value, bias, *far)
