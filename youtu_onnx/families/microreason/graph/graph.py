"""The whole model's graph from traced parts: what precedes the layers, one layer repeated, what follows.

A layer is three parts in a row, and behind them, in a routed cache, the removal of rows::

    hidden ─ Projection ─┬─ queries ─────────┬─ Attention ─ Completion ─ hidden
                         └─ rows ─ past rows ┴─ present rows ─ removal ─ what is cached
"""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.form import GraphForm
from youtu_onnx.families.microreason.graph.removal import kept_rows, of_rows
from youtu_onnx.families.microreason.graph.traced import ModelParts, traced_model
from youtu_onnx.graphs.axes import BATCH, IR_DTYPES, PAST, SEQUENCE, TOTAL
from youtu_onnx.graphs.builder import GraphBuilder, declared
from youtu_onnx.graphs.head import append_head, last_positions
from youtu_onnx.graphs.parts import Place, put
from youtu_onnx.graphs.traces import Traces

PAST_ROWS, PRESENT_ROWS = "past_rows", "present_rows"
"""Of a layer of a routed cache, with the layer's number behind."""


def build_graph(architecture: Architecture, form: GraphForm, traces: Traces) -> ir.Model:
    """Trace and assemble; weights are initializers without data, named as in ``parameters.py``.

    Inputs ``input_ids`` [B,S], ``attention_mask`` [B,T], ``position_ids`` [B,S] (int64) and the layout's past tensors;
    outputs ``logits`` [B,S,vocab] and the layout's presents. T counts tokens, whatever a routed cache keeps of them; of its mask
    the last S are read. On the CPU a last column of 1 + k in the mask asks for logits of the last k positions only.
    """
    return _Assembler(architecture, form, traced_model(architecture, form, traces)).model()


class _Assembler:
    """Builds one graph; holds what all layers share."""

    def __init__(self, a: Architecture, form: GraphForm, parts: ModelParts) -> None:
        self.a, self.form, self.parts = a, form, parts
        self.inputs = [
            declared(name, ir.DataType.INT64, [BATCH, length])
            for name, length in (("input_ids", SEQUENCE), ("attention_mask", TOTAL), ("position_ids", SEQUENCE))
        ]
        stored = IR_DTYPES[form.cache.dtype]
        self.pasts = {
            t.past: declared(t.past, stored, [BATCH, t.heads, self.length(PAST, PAST_ROWS, t.layer), t.width])
            for t in form.cache.tensors
        }
        imports = {"": form.dialect.opset, MICROSOFT: 1}
        graph = ir.Graph([*self.inputs, *self.pasts.values()], [], nodes=[], opset_imports=imports, name="microreason")
        self.builder = GraphBuilder.of(graph)
        self.presents: list[ir.Value] = []

    def model(self) -> ir.Model:
        a, builder, cache = self.a, self.builder, self.form.cache
        hidden, cos, sin, *more = put(builder, self.parts.prologue, Place("model.", "embed."), self.inputs)
        if self.form.dialect.removes:
            more.append(self.minus_new())
        for index in range(a.num_hidden_layers):
            hidden = self.layer(index, hidden, [cos, sin], more)
        if self.form.dialect.on_request:
            hidden = last_positions(builder, hidden, self.inputs[1])
        logits = append_head(builder, self.parts.epilogue, hidden)
        builder.output(logits, "logits", IR_DTYPES[self.form.float_dtype], [BATCH, SEQUENCE, a.vocab_size])
        for t, present in zip(cache.tensors, self.presents, strict=True):
            dims = (BATCH, t.heads, self.length(TOTAL, PRESENT_ROWS, t.layer), t.width)
            builder.output(present, t.present, IR_DTYPES[cache.dtype], dims)
        return ir.Model(builder.graph, ir_version=10, producer_name="youtu-onnx")

    def layer(self, index: int, hidden: ir.Value, turns: list[ir.Value], more: list[ir.Value]) -> ir.Value:
        """``more``: what the prologue says of masks."""
        builder, prefix = self.builder, f"model.layers.{index}."
        own = f"{prefix}self_attn."
        pasts = [self.pasts[t.past] for t in self.form.cache.tensors if t.layer == index]
        project, scope = Place(prefix, "project."), ""
        if self.form.dialect.removes:
            padding, near, new = more
            made = put(builder, self.parts.project, project, [hidden, *turns, padding])
            more, scope = [of_rows(builder, near, pasts, new, own)], str(index)  # layers' lengths are their own
        else:
            made = put(builder, self.parts.project, project, [hidden, *turns])
        context, *rows = put(builder, self.parts.attend, Place(own, "attend.", scope), [*made, *pasts, *more])
        if self.form.dialect.removes:
            *rows, kept = rows
            rows = kept_rows(builder, rows, kept, own)
        self.presents += rows
        [hidden] = put(builder, self.parts.complete, Place(prefix, "complete."), [hidden, context])
        return hidden

    def minus_new(self) -> ir.Value:
        """[1], minus the number of new tokens."""
        new = self.builder.op("Shape", self.inputs[:1], "step.new", {"start": 1, "end": 2})
        return self.builder.op("Neg", [new], "step.minus_new")

    def length(self, shared: str, own: str, layer: int) -> int | str:
        """Of a layer's tensors: reserved, the same in all layers, or the layer's own."""
        return self.form.cache.length or (f"{own}_{layer}" if self.form.dialect.removes else shared)
