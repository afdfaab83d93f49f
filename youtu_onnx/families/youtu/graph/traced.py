"""What is traced of the model: what precedes the layers, one layer, what follows them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.dialect import Dialect
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.modules import ExpandedCache, Projection
from youtu_onnx.families.youtu.graph.rope import in_the_graph
from youtu_onnx.graphs.axes import BATCH, PAST, SEQUENCE, TORCH_DTYPES, TOTAL
from youtu_onnx.graphs.modules import Completion, Epilogue
from youtu_onnx.graphs.trace import Part
from youtu_onnx.graphs.traced_parts import traced_parts
from youtu_onnx.graphs.traces import Traces


@dataclass(frozen=True)
class ModelParts:
    """``store`` is None where ``attend`` takes and returns the cache itself; ``expanded`` is None where there is one order of
    attention only."""

    prologue: ir.Model
    project: ir.Model
    attend: ir.Model
    complete: ir.Model
    epilogue: ir.Model
    store: ir.Model | None = None
    expanded: ir.Model | None = None


def traced_model(architecture: Architecture, form: GraphForm, traces: Traces) -> ModelParts:
    """Shared by the graph of one sequence and the batch graph; nobody changes it."""
    rotations = form.dialect.computes_angles and in_the_graph(architecture)
    a, form = architecture.traced(rotations=rotations), form.traced()
    return ModelParts(
        **traces.parts(
            ("model", a, form), lambda: traced_parts(_model(a, form), float_dtype=form.float_dtype, opset=form.dialect.opset)
        )
    )


def _model(a: Architecture, form: GraphForm) -> dict[str, Part]:
    dialect, latent = form.dialect, form.latent
    new, total = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 1: TOTAL}
    found = {
        "prologue": Part(
            lambda: dialect.prologue(a, dither=latent is not None and latent.bytes),
            lambda: [torch.ones(2, length, dtype=torch.int64) for length in (3, 8, 3)],
            [new, total, new],
        ),
        "epilogue": Part(
            lambda: Epilogue(a.hidden_size, a.vocab_size, a.rms_norm_eps, dialect.norm),
            lambda: [torch.ones(2, 3, a.hidden_size)],
            [new],
        ),
        "project": Part(
            lambda: Projection(a, dialect.norm, dialect.projections),
            lambda: [torch.ones(2, 3, a.hidden_size), *(torch.ones(2, 3, *dialect.turns(a)) for _ in ("cos", "sin"))],
            [new] * 3,
        ),
        "complete": Part(
            lambda: _completion(a, dialect),
            lambda: [torch.ones(2, 3, width) for width in (a.hidden_size, a.num_attention_heads * a.v_head_dim)],
            [new] * 2,
        ),
    }
    return found | (dialect.attention(a, latent, form.cache) if latent else {"attend": _expanded(a, form)})


def _completion(a: Architecture, dialect: Dialect) -> Completion:
    context = a.num_attention_heads * a.v_head_dim
    sizes = (a.hidden_size, context, a.intermediate_size, a.rms_norm_eps)
    return Completion(*sizes, dialect.norm, dialect.silu, bias=a.attention_bias)


def _expanded(a: Architecture, form: GraphForm) -> Part:
    """Attention that caches every head's keys and values."""
    new, past, by_head = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 2: PAST}, {0: BATCH, 2: SEQUENCE}

    def inputs() -> list[Tensor]:
        return [
            *(torch.ones(2, a.num_attention_heads, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)),
            *(torch.ones(2, 3, width) for width in (a.kv_lora_rank, a.qk_rope_head_dim)),
            torch.ones(2, 1, 3, 8),
            *(torch.ones(2, t.heads, 5, t.width, dtype=TORCH_DTYPES[form.cache.dtype]) for t in form.cache.tensors),
        ]

    bias = {0: BATCH, 2: SEQUENCE, 3: TOTAL}
    return Part(lambda: ExpandedCache(a), inputs, [by_head, by_head, new, new, bias, past, past])
