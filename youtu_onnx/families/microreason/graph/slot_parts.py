"""What is traced for slots of the batch graph, beside the model's own parts.

Shapes: B = 1, d 1 or 0 tokens in a slot, C tokens of the chunk, N of all, P past rows, T = P + d, H heads, D head_dim, W a cached
row's width, D or D + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor, nn

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.form import GraphForm
from youtu_onnx.families.microreason.graph.modules import Prologue, RoutedPrologue, hidden_from_view
from youtu_onnx.graphs import fused
from youtu_onnx.graphs.batch_frame import CHUNK, IN_SLOT, PAST, TOKENS, TOTAL
from youtu_onnx.graphs.trace import Part
from youtu_onnx.graphs.traced_parts import traced_parts
from youtu_onnx.graphs.traces import Traces


@dataclass(frozen=True)
class SlotParts:
    prologue: ir.Model
    attend: ir.Model


def traced_slots(architecture: Architecture, form: GraphForm, traces: Traces) -> SlotParts:
    a, form = architecture.traced(), form.traced()
    return SlotParts(
        **traces.parts(
            ("microreason slots", a, form),
            lambda: traced_parts(_parts(a, form), float_dtype=form.float_dtype, opset=form.dialect.opset),
        )
    )


class SlotsPrologue(Prologue):
    """As ``Prologue``; what it says of masks is the chunk's."""

    def forward(  # type: ignore[override]  # never called as one
        self, ids: Tensor, positions: Tensor, chunk: Tensor, mask: Tensor
    ) -> tuple[Tensor, ...]:
        """ids, positions ``[1,N]``, chunk ``[1,C]``, mask ``[1,T]``."""
        hidden, cos, sin = self.embedded(ids, positions)
        return hidden, cos, sin, *self.biases(chunk.shape[1], mask, hidden.dtype)


class RoutedSlotsPrologue(RoutedPrologue):
    """As ``RoutedPrologue``; ``near`` is the chunk's: a single new token sees all rows that are left. Nothing is padding."""

    def forward(  # type: ignore[override]  # never called as one
        self, ids: Tensor, positions: Tensor, chunk: Tensor, mask: Tensor
    ) -> tuple[Tensor, ...]:
        """ids, positions ``[1,N]``, chunk ``[1,C]``, mask ``[1,T]``."""
        hidden, cos, sin = self.embedded(ids, positions)
        return hidden, cos, sin, self.near(chunk.shape[1], mask.shape[1], hidden.dtype)


class SlotAttention(nn.Module):
    """One token over a row for every token of its sequence."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.a = architecture

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, past_key: Tensor, past_value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``[1,H,d,W]``; returns the context ``[1,H,d,D]``, and key and value of all rows."""
        key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
        scores = fused.transposed_product(query, key)
        if self.a.attention_routing:
            total = key.shape[2]
            far = total - 1 - torch.arange(total) >= self.a.attention_window
            shut = key[:, :1, :, self.a.head_dim :].reshape(1, 1, 1, total)
            scores = scores + torch.where(far, hidden_from_view(query.dtype), 0.0).to(query.dtype) * shut
        context = torch.matmul(torch.softmax(scores, -1), value)
        return (context[..., : self.a.head_dim] if self.a.attention_routing else context), key, value


class RoutedSlotAttention(nn.Module):
    """One token over the rows that a layer kept of its sequence."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, gate: Tensor, past_key: Tensor, past_value: Tensor, past_gate: Tensor
    ) -> tuple[Tensor, ...]:
        """``[1,H,d,D]`` and gates' numbers ``[1,1,d,1]``; returns the context ``[1,H,d,D]``, and key, value and gate of all
        rows."""
        pairs = ((past_key, key), (past_value, value), (past_gate, gate))
        key, value, gate = (torch.cat(pair, 2) for pair in pairs)
        context = torch.matmul(torch.softmax(fused.transposed_product(query, key), -1), value)
        return context, key, value, gate


def _parts(a: Architecture, form: GraphForm) -> dict[str, Part]:
    tensors, routed = form.cache.tensors, form.dialect.removes

    def rows(length: int) -> list[Tensor]:
        return [torch.ones(1, tensor.heads, length, tensor.width) for tensor in tensors]

    tokens = {1: TOKENS}
    return {
        "prologue": Part(
            lambda: RoutedSlotsPrologue(a) if routed else SlotsPrologue(a),
            lambda: [torch.ones(1, length, dtype=torch.int64) for length in (5, 5, 3, 8)],
            [tokens, tokens, {1: CHUNK}, {1: TOTAL}],
        ),
        "attend": Part(
            lambda: RoutedSlotAttention() if routed else SlotAttention(a),
            lambda: [*rows(3)[:1], *rows(3), *rows(5)],
            [{2: IN_SLOT}, *[{2: IN_SLOT}] * len(tensors), *[{2: PAST}] * len(tensors)],
        ),
    }
