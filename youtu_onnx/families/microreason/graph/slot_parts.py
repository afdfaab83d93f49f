"""What is traced for slots of the batch graph, beside the model's own parts.

Shapes: B = 1, d 1 or 0 tokens in a slot, C tokens of the chunk, N of all, P past rows, T = P + d, H heads, D head_dim.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor, nn

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.form import GraphForm
from youtu_onnx.families.microreason.graph.modules import RoutedPrologue
from youtu_onnx.families.microreason.graph.traced import traced_parts
from youtu_onnx.graphs import fused
from youtu_onnx.graphs.batch_frame import CHUNK, IN_SLOT, PAST, TOKENS, TOTAL
from youtu_onnx.graphs.trace import Part
from youtu_onnx.graphs.traces import Traces


@dataclass(frozen=True)
class SlotParts:
    prologue: ir.Model
    attend: ir.Model


def traced_slots(architecture: Architecture, form: GraphForm, traces: Traces) -> SlotParts:
    a, form = architecture.traced(), form.traced()
    return SlotParts(**traces.parts(("microreason slots", a, form), lambda: traced_parts(form, _parts(a))))


class SlotsPrologue(RoutedPrologue):
    """As ``RoutedPrologue``; ``near`` is the chunk's: a single new token sees all rows that are left. Nothing is padding."""

    def forward(  # type: ignore[override]  # never called as one
        self, ids: Tensor, positions: Tensor, chunk: Tensor, mask: Tensor
    ) -> tuple[Tensor, ...]:
        """ids, positions ``[1,N]``, chunk ``[1,C]``, mask ``[1,T]``."""
        hidden, cos, sin = self.embedded(ids, positions)
        return hidden, cos, sin, self.near(chunk.shape[1], mask.shape[1], hidden.dtype)


class SlotAttention(nn.Module):
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


def _parts(a: Architecture) -> dict[str, Part]:
    def rows(length: int) -> list[Tensor]:
        sizes = ((a.num_attention_heads, a.head_dim), (a.num_attention_heads, a.head_dim), (1, 1))
        return [torch.ones(1, heads, length, width) for heads, width in sizes]

    tokens = {1: TOKENS}
    return {
        "prologue": Part(
            lambda: SlotsPrologue(a),
            lambda: [torch.ones(1, length, dtype=torch.int64) for length in (5, 5, 3, 8)],
            [tokens, tokens, {1: CHUNK}, {1: TOTAL}],
        ),
        "attend": Part(
            SlotAttention,
            lambda: [*rows(3)[:1], *rows(3), *rows(5)],
            [*[{2: IN_SLOT}] * 4, *[{2: PAST}] * 3],
        ),
    }
