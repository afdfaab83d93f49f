"""The batch graph: see ``youtu_onnx/core/batch_graph.py`` for what goes in and out.

A layer takes all tokens through its products at once, those in slots first (N = D + C), and parts them for attention only::

    hidden ─ Projection ─┬─ rows ─── parted: each slot's and the chunk's behind their pasts
                         └─ queries ┬─ slots' ─ W_UK ─ parted ─ attention over each slot's rows ─ joined ─ W_UV ─┬─ Completion
                                    └─ chunk's ─ If(any) ─ as in the graph of one sequence ──────────────────────┘

Shapes: B = 1, K slots, D tokens in slots, d 1 or 0 of them in a slot, C tokens of the chunk, T tokens of a sequence, H heads,
N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank, W = L + R.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from youtu_onnx.core import batch_graph
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import EXPANDS_FROM
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.families.youtu.graph.slot_parts import SlotParts, traced_slots
from youtu_onnx.families.youtu.graph.traced import ModelParts, traced_model
from youtu_onnx.graphs.axes import IR_DTYPES
from youtu_onnx.graphs.batch_frame import BatchFrame, Lane, lane_name
from youtu_onnx.graphs.builder import GraphBuilder
from youtu_onnx.graphs.parts import Place, put, put_branch
from youtu_onnx.graphs.traces import Traces


def build_batch_graph(
    architecture: Architecture, form: GraphForm, latent: Latent, layout: batch_graph.BatchGraph, traces: Traces
) -> ir.Model:
    """Trace and assemble for a form with both orders of attention; weights are named as in the graph of one sequence, and all
    of them are in that."""
    model, more = traced_model(architecture, form, traces), traced_slots(architecture, form, latent, traces)
    assert model.store is not None and model.expanded is not None
    return _Assembler(architecture, form, layout, model, model.expanded, more).model()


@dataclass
class _Step:
    """What is computed once for all layers.

    Attributes:
        turns: cosines and sines.
        bias: of the chunk.
        many: whether it has so many tokens that expanding is the faster order.
        tokens: by a number of slots, the tokens in each of the first so many.
        nothing: the context of a chunk of no tokens.
        dithers: by lane, thresholds for attention over bytes, or nothing.
    """

    turns: list[ir.Value]
    bias: ir.Value
    many: ir.Value
    tokens: dict[int, ir.Value]
    nothing: ir.Value
    dithers: dict[Lane, list[ir.Value]]


class _Assembler:
    """Builds one graph; holds what all layers share."""

    def __init__(
        self,
        a: Architecture,
        form: GraphForm,
        layout: batch_graph.BatchGraph,
        parts: ModelParts,
        expanded: ir.Model,
        more: SlotParts,
    ) -> None:
        self.a, self.form, self.parts, self.expanded, self.more = a, form, parts, expanded, more
        self.frame = BatchFrame(layout, form.dialect.opset, "youtu_batch")
        self.layout, self.builder = layout, self.frame.builder

    def model(self) -> ir.Model:
        frame = self.frame
        chunk = [frame.inputs[name] for name in (batch_graph.CHUNK_IDS, batch_graph.CHUNK_MASK)]
        seen = [frame.ids, frame.positions, *chunk]
        hidden, cos, sin, bias, *dither = put(self.builder, self.more.prologue, Place("model.", "embed."), seen)
        step = self.step([cos, sin], bias, dither)
        for index in range(self.a.num_hidden_layers):
            hidden = self.layer(index, hidden, step)
        return frame.model(hidden, self.parts.epilogue, self.form.float_dtype, self.a.vocab_size)

    def step(self, turns: list[ir.Value], bias: ir.Value, dither: list[ir.Value]) -> _Step:
        builder = self.builder
        from_ = builder.integer("step.many_from", EXPANDS_FROM)
        many = builder.op("GreaterOrEqual", [self.frame.counts.chunk, from_], "step.many")
        width = self.a.num_attention_heads * self.a.v_head_dim
        nothing = builder.constant("step.empty", np.zeros((1, 0, width), self.form.float_dtype))
        dithers: dict[Lane, list[ir.Value]] = {lane: [] for lane in self.frame.lanes} | {None: dither}
        return _Step(turns, bias, many, self.frame.tokens_of_first(), nothing, dithers)

    def layer(self, index: int, hidden: ir.Value, step: _Step) -> ir.Value:
        builder, frame, prefix = self.builder, self.frame, f"model.layers.{index}."
        own = f"{prefix}self_attn."
        projected = put(builder, self.parts.project, Place(prefix, "project."), [hidden, *step.turns])
        q_nope, q_rope, c_kv, k_rope = projected
        [new] = put(builder, self.more.rows, Place(own, "new."), [c_kv, k_rope])
        for lane, rows in zip(frame.lanes, frame.by_lane(new, 2, f"{own}rows"), strict=True):
            tensor = self.layout.tensors(lane)[index]
            frame.presents[tensor.present] = builder.op("Concat", [frame.pasts[tensor.past], rows], tensor.present, {"axis": 2})
        if index == 0 and self.more.thresholds is not None:
            for lane in range(self.layout.slots):
                place = Place(f"step.{lane}.", "dither.", lane_name(lane))
                step.dithers[lane] = put(builder, self.more.thresholds, place, [self.present(0, lane)])
        two = frame.counts.two
        nope, chunk_nope = frame.split(q_nope, two, 2, [f"{own}q_nope.slots", f"{own}q_nope.chunk"])
        rope, chunk_rope = frame.split(q_rope, two, 2, [f"{own}q_rope.slots", f"{own}q_rope.chunk"])
        [query] = put(builder, self.more.queries, Place(own, "queries."), [nope, rope])

        def attended(builder: GraphBuilder, slots: range) -> list[ir.Value]:
            return [self.slots_alone(builder, index, own, query, len(slots), step)]

        [context] = frame.of_used_slots(attended, lambda builder, slots: [], f"{own}slots")
        [of_slots] = put(builder, self.more.values, Place(own, "values."), [context])
        of_chunk = self.chunk(own, [chunk_nope, chunk_rope, self.present(index, None), step.bias], step)
        context = builder.op("Concat", [of_slots, of_chunk], f"{own}context", {"axis": 1})
        [hidden] = put(builder, self.parts.complete, Place(prefix, "complete."), [hidden, context])
        return hidden

    def slots_alone(self, builder: GraphBuilder, index: int, own: str, query: ir.Value, count: int, step: _Step) -> ir.Value:
        """Each of the first ``count`` slots' query over its rows, ``[1,D,H,W]``."""
        own, queries = f"{own}{count}.", [query]
        if count > 1:
            names = [f"{own}query.{lane}" for lane in range(count)]
            queries = builder.ops("Split", [query, step.tokens[count]], names, {"axis": 1})
        contexts = []
        for lane, one in enumerate(queries):
            seen = [one, self.present(index, lane), *step.dithers[lane]]
            contexts += put(builder, self.more.attend, Place(f"{own}{lane}.", "slot.", f"{lane}_of_{count}"), seen)
        if count == 1:
            return contexts[0]
        joined = builder.op("Concat", contexts, f"{own}joined", {"axis": 1})
        joined.type = ir.TensorType(IR_DTYPES[self.form.float_dtype])
        return joined

    def chunk(self, own: str, seen: list[ir.Value], step: _Step) -> ir.Value:
        """The chunk's context ``[1,C,H·V]``; of no tokens at no cost."""
        expanded = put_branch(self.builder, self.expanded, Place(own, "expanded.", "chunk"), seen)
        absorbed = put_branch(self.builder, self.parts.attend, Place(own, "absorbed.", "chunk"), [*seen, *step.dithers[None]])
        some, none = self.builder.branch(f"{own}some"), self.builder.branch(f"{own}none")
        some.graph.outputs.append(some.choose(step.many, expanded, absorbed, f"{own}some.context"))
        nothing = none.op("Identity", [step.nothing], f"{own}none.context")
        nothing.shape, nothing.type = step.nothing.shape, step.nothing.type
        none.graph.outputs.append(nothing)
        [context] = self.frame.if_chunk(some, none, [f"{own}chunk"])
        return context

    def present(self, layer: int, lane: Lane) -> ir.Value:
        return self.frame.presents[self.layout.tensors(lane)[layer].present]
