"""What is traced for slots of the batch graph, beside the model's own parts.

Shapes: as in ``slot_modules.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.families.youtu.graph.rope import in_the_graph
from youtu_onnx.families.youtu.graph.slot_modules import (
    NewRows,
    SlotAttention,
    SlotQueries,
    SlotsPrologue,
    SlotValues,
    Thresholds,
)
from youtu_onnx.graphs.axes import TORCH_DTYPES
from youtu_onnx.graphs.batch_frame import CHUNK, IN_SLOT, IN_SLOTS, TOKENS, TOTAL
from youtu_onnx.graphs.trace import Part
from youtu_onnx.graphs.traced_parts import traced_parts
from youtu_onnx.graphs.traces import Traces


@dataclass(frozen=True)
class SlotParts:
    """``thresholds`` is None for float rows."""

    prologue: ir.Model
    rows: ir.Model
    queries: ir.Model
    attend: ir.Model
    values: ir.Model
    thresholds: ir.Model | None = None


def traced_slots(architecture: Architecture, form: GraphForm, latent: Latent, traces: Traces) -> SlotParts:
    a, form = architecture.traced(rotations=in_the_graph(architecture)), form.traced()
    return SlotParts(
        **traces.parts(
            ("slots", a, form),
            lambda: traced_parts(_slots(a, form, latent), float_dtype=form.float_dtype, opset=form.dialect.opset),
        )
    )


def _slots(a: Architecture, form: GraphForm, latent: Latent) -> dict[str, Part]:
    count = a.num_attention_heads
    by_head, behind, tokens = {2: IN_SLOTS}, {2: TOTAL}, {1: TOKENS}
    dithers = [{0: TOTAL}] if latent.bytes else []

    def query() -> Tensor:
        return torch.ones(1, 3, count, a.latent_dim)

    def present() -> Tensor:
        return torch.ones(1, 1, 8, a.latent_dim, dtype=TORCH_DTYPES[form.cache.dtype])

    wanted = {
        "prologue": Part(
            lambda: SlotsPrologue(a, dither=latent.bytes),
            lambda: [torch.ones(1, length, dtype=torch.int64) for length in (5, 5, 3, 8)],
            [tokens, tokens, {1: CHUNK}, {1: TOTAL}],
        ),
        "rows": Part(
            lambda: NewRows(latent.rows(a)),
            lambda: [torch.ones(1, 3, width) for width in (a.kv_lora_rank, a.qk_rope_head_dim)],
            [tokens, tokens],
        ),
        "queries": Part(
            lambda: SlotQueries(latent.heads(a)),
            lambda: [torch.ones(1, count, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)],
            [by_head, by_head],
        ),
        "attend": Part(
            lambda: SlotAttention(latent.over(a, keys_first=True)),
            lambda: [query(), present(), *(torch.ones(8) for _ in dithers)],
            [{1: IN_SLOT}, behind, *dithers],
        ),
        "values": Part(lambda: SlotValues(latent.heads(a), a.kv_lora_rank), lambda: [query()], [{1: IN_SLOTS}]),
    }
    if latent.bytes:
        wanted["thresholds"] = Part(Thresholds, lambda: [present()], [behind])
    return wanted
