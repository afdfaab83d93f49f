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
import torch
from torch import Tensor, nn

from youtu_onnx.core import batch_graph
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph import latent
from youtu_onnx.families.youtu.graph.form import EXPANDS_FROM, GraphForm
from youtu_onnx.families.youtu.graph.graph import (
    IR_DTYPES,
    TORCH_DTYPES,
    ModelParts,
    append_head,
    positions_from,
    traced_model,
    traced_parts,
)
from youtu_onnx.families.youtu.graph.modules import Prologue, merge_heads, thresholds
from youtu_onnx.graphs import parts
from youtu_onnx.graphs.trace import Part
from youtu_onnx.graphs.traces import Traces

TOKENS, IN_SLOTS, IN_SLOT, CHUNK = "tokens", "tokens_in_slots", "tokens_in_slot", "chunk_length"
TOTAL, PAST = "total_length", "past_length"


class SlotsPrologue(Prologue):
    """As ``Prologue``; the bias, and ``dither``, are the chunk's: a single new token sees all rows of its sequence."""

    def forward(self, ids: Tensor, positions: Tensor, chunk: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """ids, positions ``[1,N]``, chunk ``[1,C]``, mask ``[1,T]``."""
        hidden, cos, sin = self.embedded(ids, positions)
        return hidden, cos, sin, *self.bias(chunk, mask, hidden.dtype)


class Thresholds(nn.Module):
    """``dither`` for a slot's rows, ``[1,1,T,W]`` → ``[T]``."""

    def forward(self, present: Tensor) -> Tensor:
        return thresholds(torch.arange(present.shape[2]))


class SlotQueries(nn.Module):
    """``[1,H,D,N]``, ``[1,H,D,R]`` → ``[1,D,H,W]``"""

    def __init__(self, heads: latent.Heads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, q_nope: Tensor, q_rope: Tensor) -> Tensor:
        return torch.cat([self.heads.absorb(q_nope), q_rope], -1).transpose(1, 2)


class SlotAttention(nn.Module):
    """``[1,d,H,W]``, ``[1,1,T,W]`` → ``[1,d,H,W]``"""

    def __init__(self, attend: latent.OverFloats | latent.OverBytes) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, query: Tensor, present: Tensor, *dither: Tensor) -> Tensor:
        return self.attend(query, present, lambda scores: torch.softmax(scores, -1), *dither)


class SlotValues(nn.Module):
    """``[1,D,H,W]`` → ``[1,D,H·V]``"""

    def __init__(self, heads: latent.Heads, rank: int) -> None:
        super().__init__()
        self.heads, self.rank = heads, rank

    def forward(self, context: Tensor) -> Tensor:
        return merge_heads(self.heads.values(context[..., : self.rank].transpose(1, 2)))


class NewRows(nn.Module):
    """``[1,N,L]``, ``[1,N,R]`` → ``[1,1,N,W]``"""

    def __init__(self, rows: latent.FloatRows | latent.ByteRows) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, c_kv: Tensor, k_rope: Tensor) -> Tensor:
        return self.rows.new(c_kv, k_rope)


@dataclass(frozen=True)
class SlotParts:
    """Traces of what slots need beside the model's own parts; ``thresholds`` is None for float rows."""

    prologue: ir.Model
    rows: ir.Model
    queries: ir.Model
    attend: ir.Model
    values: ir.Model
    thresholds: ir.Model | None = None


def build_batch_graph(architecture: Architecture, form: GraphForm, layout: batch_graph.BatchGraph, traces: Traces) -> ir.Model:
    """Trace and assemble for a form with both orders of attention; weights are named as in the graph of one sequence, and all
    of them are in that."""
    model, more = traced_model(architecture, form, traces), _traced_slots(architecture, form, traces)
    return _Assembler(architecture, form, layout, model, more).graph()


def _traced_slots(architecture: Architecture, form: GraphForm, traces: Traces) -> SlotParts:
    a, form = architecture.traced(rotations=True), form.traced()
    return SlotParts(**traces.parts(("slots", a, form), lambda: traced_parts(form, _slot_parts(a, form))))


def _slot_parts(a: Architecture, form: GraphForm) -> dict[str, Part]:
    heads = (lambda: latent.ByteHeads(a)) if form.integer_heads else (lambda: latent.FloatHeads(a))
    rows = (lambda: latent.ByteRows(a)) if form.byte_cache else (lambda: latent.FloatRows(a))
    over = (lambda: latent.OverBytes(a)) if form.byte_cache else (lambda: latent.OverFloats(keys_first=True))
    count, stored = a.num_attention_heads, TORCH_DTYPES[form.cache.dtype]
    ids = lambda length: torch.ones(1, length, dtype=torch.int64)  # noqa: E731
    query = lambda: torch.ones(1, 3, count, a.latent_dim)  # noqa: E731
    present = lambda: torch.ones(1, 1, 8, a.latent_dim, dtype=stored)  # noqa: E731
    by_head, behind, tokens = {2: IN_SLOTS}, {2: TOTAL}, {1: TOKENS}
    dithers = [{0: TOTAL}] if form.byte_cache else []
    wanted = {
        "prologue": Part(
            lambda: SlotsPrologue(a, dither=form.byte_cache),
            lambda: (ids(5), ids(5), ids(3), ids(8)),
            [tokens, tokens, {1: CHUNK}, {1: TOTAL}],
        ),
        "rows": Part(
            lambda: NewRows(rows()),
            lambda: (torch.ones(1, 3, a.kv_lora_rank), torch.ones(1, 3, a.qk_rope_head_dim)),
            [tokens, tokens],
        ),
        "queries": Part(
            lambda: SlotQueries(heads()),
            lambda: [torch.ones(1, count, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)],
            [by_head, by_head],
        ),
        "attend": Part(
            lambda: SlotAttention(over()),
            lambda: [query(), present(), *(torch.ones(8) for _ in dithers)],
            [{1: IN_SLOT}, behind, *dithers],
        ),
        "values": Part(lambda: SlotValues(heads(), a.kv_lora_rank), lambda: (query(),), [{1: IN_SLOTS}]),
    }
    if form.byte_cache:
        wanted["thresholds"] = Part(Thresholds, lambda: (present(),), [behind])
    return wanted


class _Assembler:
    """Builds one graph; holds what all layers share."""

    def __init__(
        self, a: Architecture, form: GraphForm, layout: batch_graph.BatchGraph, model: ModelParts, more: SlotParts
    ) -> None:
        self.a, self.form, self.layout, self.model, self.more = a, form, layout, model, more
        self.inputs = {
            name: parts.declare(name, ir.DataType.INT64, dims)
            for name, dims in (
                (batch_graph.SLOT_IDS, [1, IN_SLOTS]),
                (batch_graph.SLOT_POSITIONS, [1, IN_SLOTS]),
                (batch_graph.SLOT_TOKENS, [layout.slots]),
                (batch_graph.CHUNK_IDS, [1, CHUNK]),
                (batch_graph.CHUNK_POSITIONS, [1, CHUNK]),
                (batch_graph.CHUNK_MASK, [1, TOTAL]),
                (batch_graph.CHUNK_LOGITS, [1]),
            )
        }
        self.lanes: tuple[int | None, ...] = (*range(layout.slots), None)
        stored = IR_DTYPES[form.cache.dtype]
        self.pasts = {
            t.past: parts.declare(t.past, stored, [1, t.heads, f"{PAST}_{_name(lane)}", t.width])
            for lane in self.lanes
            for t in layout.tensors(lane)
        }
        self.g = ir.Graph(
            [*self.inputs.values(), *self.pasts.values()],
            [],
            nodes=[],
            name="youtu_batch",
            opset_imports={"": form.opset, "com.microsoft": 1},
        )
        self.presents: dict[str, ir.Value] = {}
        self.dithers: dict[int | None, list[ir.Value]] = {lane: [] for lane in self.lanes}

    def graph(self) -> ir.Model:
        g, weights, inputs = self.g, self.g.initializers, self.inputs
        ids = self.node("Concat", [inputs[batch_graph.SLOT_IDS], inputs[batch_graph.CHUNK_IDS]], "step.ids", axis=1)
        positions = self.node(
            "Concat", [inputs[batch_graph.SLOT_POSITIONS], inputs[batch_graph.CHUNK_POSITIONS]], "step.positions", axis=1
        )
        self.in_slots = self.node("Shape", [inputs[batch_graph.SLOT_IDS]], "step.in_slots", start=1, end=2)
        self.in_chunk = self.node("Shape", [inputs[batch_graph.CHUNK_IDS]], "step.in_chunk", start=1, end=2)
        self.two = self.node("Concat", [self.in_slots, self.in_chunk], "step.parts", axis=0)
        self.each = self.node("Concat", [inputs[batch_graph.SLOT_TOKENS], self.in_chunk], "step.lanes", axis=0)
        scalar = self.node("Squeeze", [self.in_chunk], "step.chunk")
        self.any = self.node("Greater", [scalar, self.number("step.none", 0)], "step.any")
        self.many = self.node("GreaterOrEqual", [scalar, self.number("step.many_from", EXPANDS_FROM)], "step.many")
        self.choices()
        self.empty = parts.constant(
            g, "step.empty", np.zeros((1, 0, self.a.num_attention_heads * self.a.v_head_dim), self.form.float_dtype)
        )
        hidden, cos, sin, bias, *dither = parts.append(
            self.more.prologue,
            g,
            weights,
            "model.",
            "embed.",
            [ids, positions, inputs[batch_graph.CHUNK_IDS], inputs[batch_graph.CHUNK_MASK]],
        )
        self.dithers[None] = dither
        for index in range(self.a.num_hidden_layers):
            hidden = self.add_layer(index, hidden, cos, sin, bias)
        of_slots, of_chunk = self.split(hidden, self.two, 1, ["head.slots", "head.chunk"])
        start = self.node("Sub", [self.in_chunk, inputs[batch_graph.CHUNK_LOGITS]], "head.start")
        last = positions_from(g, of_chunk, start, "head.last")
        logits = append_head(g, self.model.epilogue, self.node("Concat", [of_slots, last], "head.kept", axis=1))
        parts.declare_output(g, logits, "logits", IR_DTYPES[self.form.float_dtype], [1, "logits_length", self.a.vocab_size])
        for lane in self.lanes:
            for t in self.layout.tensors(lane):
                parts.declare_output(
                    g,
                    self.presents[t.present],
                    t.present,
                    IR_DTYPES[self.form.cache.dtype],
                    [1, t.heads, f"{TOTAL}_{_name(lane)}", t.width],
                )
        return ir.Model(g, ir_version=10, producer_name="youtu-onnx")

    def add_layer(self, index: int, hidden: ir.Value, cos: ir.Value, sin: ir.Value, bias: ir.Value) -> ir.Value:
        g, weights, prefix = self.g, self.g.initializers, f"model.layers.{index}."
        own = f"{prefix}self_attn."
        q_nope, q_rope, c_kv, k_rope = parts.append(self.model.project, g, weights, prefix, "project.", [hidden, cos, sin])
        [new] = parts.append(self.more.rows, g, weights, own, "new.", [c_kv, k_rope])
        for lane, rows in zip(
            self.lanes, self.split(new, self.each, 2, [f"{own}rows.{_name(x)}" for x in self.lanes]), strict=True
        ):
            tensor = self.layout.tensors(lane)[index]
            self.presents[tensor.present] = self.node("Concat", [self.pasts[tensor.past], rows], tensor.present, axis=2)
        if index == 0 and self.more.thresholds is not None:
            for lane in range(self.layout.slots):
                self.dithers[lane] = parts.append(
                    self.more.thresholds, g, weights, f"step.{lane}.", "dither.", [self.present(0, lane)], _name(lane)
                )
        nope, chunk_nope = self.split(q_nope, self.two, 2, [f"{own}q_nope.slots", f"{own}q_nope.chunk"])
        rope, chunk_rope = self.split(q_rope, self.two, 2, [f"{own}q_rope.slots", f"{own}q_rope.chunk"])
        [query] = parts.append(self.more.queries, g, weights, own, "queries.", [nope, rope])
        attended = self.first_slots(g, index, own, query, self.layout.slots)
        [of_slots] = parts.append(self.more.values, g, weights, own, "values.", [attended])
        of_chunk = self.chunk(own, [chunk_nope, chunk_rope, self.present(index, None), bias])
        context = self.node("Concat", [of_slots, of_chunk], f"{own}context", axis=1)
        [hidden] = parts.append(self.model.complete, g, weights, prefix, "complete.", [hidden, context])
        return hidden

    def choices(self) -> None:
        """Whether slots beyond the first so many are in use, and the first slots' tokens."""
        g, tokens, count = self.g, self.inputs[batch_graph.SLOT_TOKENS], self.layout.slots
        numbers = parts.constant(g, "step.numbers", np.arange(1, count + 1))
        last = self.node("ReduceMax", [self.node("Mul", [tokens, numbers], "step.used")], "step.last", keepdims=0)
        self.beyond: dict[int, ir.Value] = {}
        self.tokens = {count: tokens}
        start = parts.constant(g, "step.start", np.zeros(1, np.int64))
        while count > 1:
            count = (count + 1) // 2
            self.beyond[count] = self.node("Greater", [last, self.number(f"step.first{count}", count)], f"step.beyond{count}")
            end = parts.constant(g, f"step.end{count}", np.array([count]))
            self.tokens[count] = self.node("Slice", [tokens, start, end], f"step.tokens{count}")

    def first_slots(self, graph: ir.Graph, index: int, own: str, query: ir.Value, count: int) -> ir.Value:
        """Each of the first ``count`` slots' query over its rows, ``[1,D,H,W]``; where half will do, of those: slots beyond
        the last one in use cost nothing."""
        if count == 1:
            return self.slots_alone(graph, index, own, query, 1)
        few, all_ = (ir.Graph([], [], nodes=[], name=f"{own}{kind}{count}") for kind in ("below", "all"))
        few.outputs.append(self.first_slots(few, index, own, query, (count + 1) // 2))
        all_.outputs.append(self.slots_alone(all_, index, own, query, count))
        return parts.choose(graph, self.beyond[(count + 1) // 2], all_, few, name=f"{own}first{count}")

    def slots_alone(self, graph: ir.Graph, index: int, own: str, query: ir.Value, count: int) -> ir.Value:
        own = f"{own}{count}."
        queries = [query]
        if count > 1:
            queries = [ir.Value(name=f"{own}query.{lane}") for lane in range(count)]
            graph.append(ir.node("Split", [query, self.tokens[count]], {"axis": 1}, outputs=queries, name=f"{own}Split"))
        contexts = []
        for lane, one in enumerate(queries):
            seen = [one, self.present(index, lane), *self.dithers[lane]]
            contexts += parts.append(
                self.more.attend, graph, self.g.initializers, f"{own}{lane}.", "slot.", seen, f"{lane}_of_{count}"
            )
        if count == 1:
            return contexts[0]
        joined = ir.Value(name=f"{own}joined", type=ir.TensorType(IR_DTYPES[self.form.float_dtype]))
        graph.append(ir.node("Concat", contexts, {"axis": 1}, outputs=[joined], name=f"{own}Concat"))
        return joined

    def chunk(self, own: str, seen: list[ir.Value]) -> ir.Value:
        """The chunk's context ``[1,C,H·V]``; of no tokens at no cost."""
        weights = self.g.initializers
        expanded = parts.branch(self.model.expanded, weights, own, "expanded.", seen, "chunk")
        absorbed = parts.branch(self.model.attend, weights, own, "absorbed.", [*seen, *self.dithers[None]], "chunk")
        either = ir.Graph([], [], nodes=[], name=f"{own}some")
        either.outputs.append(parts.choose(either, self.many, expanded, absorbed, name=f"{own}some.context"))
        none = ir.Graph([], [], nodes=[], name=f"{own}none")
        nothing = ir.Value(name=f"{own}none.context", shape=self.empty.shape, type=self.empty.type)
        none.append(ir.node("Identity", [self.empty], outputs=[nothing]))
        none.outputs.append(nothing)
        return parts.choose(self.g, self.any, either, none, name=f"{own}chunk")

    def present(self, layer: int, lane: int | None) -> ir.Value:
        return self.presents[self.layout.tensors(lane)[layer].present]

    def number(self, name: str, number: int) -> ir.Value:
        return parts.constant(self.g, name, np.array(number, np.int64))

    def node(self, op: str, inputs: list[ir.Value], name: str, **attributes: int) -> ir.Value:
        node = ir.node(op, inputs, attributes, outputs=[ir.Value(name=name)], name=f"{name}/{op}")
        self.g.append(node)
        return node.outputs[0]

    def split(self, value: ir.Value, sizes: ir.Value, axis: int, names: list[str]) -> list[ir.Value]:
        node = ir.node(
            "Split", [value, sizes], {"axis": axis}, outputs=[ir.Value(name=name) for name in names], name=f"{names[0]}/Split"
        )
        self.g.append(node)
        return list(node.outputs)


def _name(lane: int | None) -> str:
    return "chunk" if lane is None else str(lane)
