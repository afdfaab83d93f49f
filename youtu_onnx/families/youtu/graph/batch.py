"""The batch graph: see ``youtu_onnx/core/batch_graph.py`` for what goes in and out.

A layer takes all tokens through its products at once, those in slots first (N = D + C), and parts them for attention only::

    hidden ─ Projection ─┬─ rows ─── parted: each slot's and the chunk's behind their pasts
                         └─ queries ┬─ slots' ─ W_UK ─ parted ─ attention over each slot's rows ─ joined ─ W_UV ─┬─ Completion
                                    └─ chunk's ─ If(any) ─ as in the graph of one sequence ──────────────────────┘

Shapes: B = 1, K slots, D tokens in slots, d 1 or 0 of them in a slot, C tokens of the chunk, T tokens of a sequence, H heads,
N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank, W = L + R.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from youtu_onnx.core import batch_graph
from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import EXPANDS_FROM
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.families.youtu.graph.slot_parts import CHUNK, IN_SLOTS, PAST, TOTAL, SlotParts, traced_slots
from youtu_onnx.families.youtu.graph.traced import ModelParts, traced_model
from youtu_onnx.graphs.axes import IR_DTYPES
from youtu_onnx.graphs.builder import Dims, GraphBuilder, declared
from youtu_onnx.graphs.head import append_head, positions_from
from youtu_onnx.graphs.parts import Place, put, put_branch
from youtu_onnx.graphs.traces import Traces

Lane = int | None
"""A slot's number, or None for the chunk."""


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
        two: tokens in slots and of the chunk; ``each``: those of every slot, and of the chunk.
        any: whether the chunk has tokens; ``many``: so many that expanding is the faster order.
        beyond: by a number of slots, whether others than the first so many are in use; ``tokens``: the first ones' tokens.
        nothing: the context of a chunk of no tokens.
        dithers: by lane, thresholds for attention over bytes, or nothing.
    """

    two: ir.Value
    each: ir.Value
    any: ir.Value
    many: ir.Value
    beyond: dict[int, ir.Value]
    tokens: dict[int, ir.Value]
    nothing: ir.Value
    dithers: dict[Lane, list[ir.Value]] = field(default_factory=dict)


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
        self.a, self.form, self.layout, self.parts, self.expanded, self.more = a, form, layout, parts, expanded, more
        dims: dict[str, Dims] = {
            batch_graph.SLOT_IDS: (1, IN_SLOTS),
            batch_graph.SLOT_POSITIONS: (1, IN_SLOTS),
            batch_graph.SLOT_TOKENS: (layout.slots,),
            batch_graph.CHUNK_IDS: (1, CHUNK),
            batch_graph.CHUNK_POSITIONS: (1, CHUNK),
            batch_graph.CHUNK_MASK: (1, TOTAL),
            batch_graph.CHUNK_LOGITS: (1,),
        }
        self.inputs = {name: declared(name, ir.DataType.INT64, dims[name]) for name in dims}
        self.lanes: tuple[Lane, ...] = (*range(layout.slots), None)
        self.pasts = {
            t.past: declared(t.past, IR_DTYPES[form.cache.dtype], [1, t.heads, f"{PAST}_{_name(lane)}", t.width])
            for lane in self.lanes
            for t in layout.tensors(lane)
        }
        inputs = [*self.inputs.values(), *self.pasts.values()]
        imports = {"": form.dialect.opset, MICROSOFT: 1}
        self.builder = GraphBuilder.of(ir.Graph(inputs, [], nodes=[], name="youtu_batch", opset_imports=imports))
        self.presents: dict[str, ir.Value] = {}

    def model(self) -> ir.Model:
        builder, inputs = self.builder, self.inputs
        ids = [inputs[batch_graph.SLOT_IDS], inputs[batch_graph.CHUNK_IDS]]
        positions = [inputs[batch_graph.SLOT_POSITIONS], inputs[batch_graph.CHUNK_POSITIONS]]
        all_ids = builder.op("Concat", ids, "step.ids", {"axis": 1})
        all_positions = builder.op("Concat", positions, "step.positions", {"axis": 1})
        in_slots = builder.op("Shape", ids[:1], "step.in_slots", {"start": 1, "end": 2})
        in_chunk = builder.op("Shape", ids[1:], "step.in_chunk", {"start": 1, "end": 2})
        step = self.step(in_slots, in_chunk)
        seen = [all_ids, all_positions, inputs[batch_graph.CHUNK_IDS], inputs[batch_graph.CHUNK_MASK]]
        hidden, cos, sin, bias, *step.dithers[None] = put(builder, self.more.prologue, Place("model.", "embed."), seen)
        for index in range(self.a.num_hidden_layers):
            hidden = self.layer(index, hidden, [cos, sin], bias, step)
        of_slots, of_chunk = self.split(hidden, step.two, 1, ["head.slots", "head.chunk"])
        start = builder.op("Sub", [in_chunk, inputs[batch_graph.CHUNK_LOGITS]], "head.start")
        last = positions_from(builder, of_chunk, start, "head.last")
        kept = builder.op("Concat", [of_slots, last], "head.kept", {"axis": 1})
        logits = append_head(builder, self.parts.epilogue, kept)
        builder.output(logits, "logits", IR_DTYPES[self.form.float_dtype], [1, "logits_length", self.a.vocab_size])
        for lane in self.lanes:
            for t in self.layout.tensors(lane):
                dims = (1, t.heads, f"{TOTAL}_{_name(lane)}", t.width)
                builder.output(self.presents[t.present], t.present, IR_DTYPES[self.form.cache.dtype], dims)
        return ir.Model(builder.graph, ir_version=10, producer_name="youtu-onnx")

    def step(self, in_slots: ir.Value, in_chunk: ir.Value) -> _Step:
        """Tokens in slots [1] and of the chunk [1]."""
        builder, tokens = self.builder, self.inputs[batch_graph.SLOT_TOKENS]
        two = builder.op("Concat", [in_slots, in_chunk], "step.parts", {"axis": 0})
        each = builder.op("Concat", [tokens, in_chunk], "step.lanes", {"axis": 0})
        scalar = builder.op("Squeeze", [in_chunk], "step.chunk")
        any_ = builder.op("Greater", [scalar, builder.integer("step.none", 0)], "step.any")
        many = builder.op("GreaterOrEqual", [scalar, builder.integer("step.many_from", EXPANDS_FROM)], "step.many")
        beyond, first = self.first_tokens(tokens)
        width = self.a.num_attention_heads * self.a.v_head_dim
        nothing = builder.constant("step.empty", np.zeros((1, 0, width), self.form.float_dtype))
        return _Step(two, each, any_, many, beyond, first, nothing, {lane: [] for lane in self.lanes})

    def first_tokens(self, tokens: ir.Value) -> tuple[dict[int, ir.Value], dict[int, ir.Value]]:
        """``beyond`` and ``tokens`` of :class:`_Step`, for half of the slots, half of those, and so on."""
        builder, count = self.builder, self.layout.slots
        used = builder.op("Mul", [tokens, builder.integers("step.numbers", *range(1, count + 1))], "step.used")
        last = builder.op("ReduceMax", [used], "step.last", {"keepdims": 0})
        beyond: dict[int, ir.Value] = {}
        first = {count: tokens}
        start = builder.integers("step.start", 0)
        while count > 1:
            count = (count + 1) // 2
            beyond[count] = builder.op("Greater", [last, builder.integer(f"step.first{count}", count)], f"step.beyond{count}")
            end = builder.integers(f"step.end{count}", count)
            first[count] = builder.op("Slice", [tokens, start, end], f"step.tokens{count}")
        return beyond, first

    def layer(self, index: int, hidden: ir.Value, turns: list[ir.Value], bias: ir.Value, step: _Step) -> ir.Value:
        """``turns``: cosines and sines."""
        builder, prefix = self.builder, f"model.layers.{index}."
        own = f"{prefix}self_attn."
        projected = put(builder, self.parts.project, Place(prefix, "project."), [hidden, *turns])
        q_nope, q_rope, c_kv, k_rope = projected
        [new] = put(builder, self.more.rows, Place(own, "new."), [c_kv, k_rope])
        parted = self.split(new, step.each, 2, [f"{own}rows.{_name(lane)}" for lane in self.lanes])
        for lane, rows in zip(self.lanes, parted, strict=True):
            tensor = self.layout.tensors(lane)[index]
            self.presents[tensor.present] = builder.op("Concat", [self.pasts[tensor.past], rows], tensor.present, {"axis": 2})
        if index == 0 and self.more.thresholds is not None:
            for lane in range(self.layout.slots):
                place = Place(f"step.{lane}.", "dither.", _name(lane))
                step.dithers[lane] = put(builder, self.more.thresholds, place, [self.present(0, lane)])
        nope, chunk_nope = self.split(q_nope, step.two, 2, [f"{own}q_nope.slots", f"{own}q_nope.chunk"])
        rope, chunk_rope = self.split(q_rope, step.two, 2, [f"{own}q_rope.slots", f"{own}q_rope.chunk"])
        [query] = put(builder, self.more.queries, Place(own, "queries."), [nope, rope])
        attended = self.first_slots(builder, index, own, query, self.layout.slots, step)
        [of_slots] = put(builder, self.more.values, Place(own, "values."), [attended])
        of_chunk = self.chunk(own, [chunk_nope, chunk_rope, self.present(index, None), bias], step)
        context = builder.op("Concat", [of_slots, of_chunk], f"{own}context", {"axis": 1})
        [hidden] = put(builder, self.parts.complete, Place(prefix, "complete."), [hidden, context])
        return hidden

    def first_slots(self, builder: GraphBuilder, index: int, own: str, query: ir.Value, count: int, step: _Step) -> ir.Value:
        """Each of the first ``count`` slots' query over its rows, ``[1,D,H,W]``; where half will do, of those: slots beyond
        the last one in use cost nothing."""
        if count == 1:
            return self.slots_alone(builder, index, own, query, 1, step)
        few, all_ = builder.branch(f"{own}below{count}"), builder.branch(f"{own}all{count}")
        half = (count + 1) // 2
        few.graph.outputs.append(self.first_slots(few, index, own, query, half, step))
        all_.graph.outputs.append(self.slots_alone(all_, index, own, query, count, step))
        return builder.choose(step.beyond[half], all_.graph, few.graph, f"{own}first{count}")

    def slots_alone(self, builder: GraphBuilder, index: int, own: str, query: ir.Value, count: int, step: _Step) -> ir.Value:
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
        return self.builder.choose(step.any, some.graph, none.graph, f"{own}chunk")

    def present(self, layer: int, lane: Lane) -> ir.Value:
        return self.presents[self.layout.tensors(lane)[layer].present]

    def split(self, value: ir.Value, sizes: ir.Value, axis: int, names: list[str]) -> list[ir.Value]:
        return self.builder.ops("Split", [value, sizes], names, {"axis": axis})


def _name(lane: Lane) -> str:
    return "chunk" if lane is None else str(lane)
