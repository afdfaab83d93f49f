"""What is traced of the model: what precedes the layers, one layer, what follows them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
import torch

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.form import GraphForm
from youtu_onnx.families.microreason.graph.modules import Projection
from youtu_onnx.graphs.axes import BATCH, SEQUENCE, TOTAL
from youtu_onnx.graphs.modules import Completion, Epilogue
from youtu_onnx.graphs.trace import Part
from youtu_onnx.graphs.traced_parts import traced_parts
from youtu_onnx.graphs.traces import Traces


@dataclass(frozen=True)
class ModelParts:
    prologue: ir.Model
    project: ir.Model
    attend: ir.Model
    complete: ir.Model
    epilogue: ir.Model


def traced_model(architecture: Architecture, form: GraphForm, traces: Traces) -> ModelParts:
    """Nobody changes it."""
    a, form = architecture.traced(), form.traced()
    return ModelParts(
        **traces.parts(
            ("microreason", a, form),
            lambda: traced_parts(_parts(a, form), float_dtype=form.float_dtype, opset=form.dialect.opset),
        )
    )


def _parts(a: Architecture, form: GraphForm) -> dict[str, Part]:
    dialect = form.dialect
    new, total = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 1: TOTAL}
    padding = [{0: BATCH, 2: SEQUENCE}] if dialect.removes else []
    return {
        "prologue": Part(
            lambda: dialect.prologue(a),
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
            lambda: [
                torch.ones(2, 3, a.hidden_size),
                *(torch.ones(2, 3, *dialect.turns(a)) for _ in ("cos", "sin")),
                *(torch.ones(2, 1, 3, 1) for _ in padding),
            ],
            [new, new, new, *padding],
        ),
        "attend": dialect.attention(a),
        "complete": Part(
            lambda: Completion(a.hidden_size, a.inner_size, a.intermediate_size, a.rms_norm_eps, dialect.norm, dialect.silu),
            lambda: [torch.ones(2, 3, width) for width in (a.hidden_size, a.inner_size)],
            [new] * 2,
        ),
    }
