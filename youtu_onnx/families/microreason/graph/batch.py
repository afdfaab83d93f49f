"""The batch graph: see ``youtu_onnx/core/batch_graph.py`` for what goes in and out.

A layer takes all tokens through its products at once, those in slots first (N = D + C). They part for attention and removal::

    hidden ─ Projection ─ parted ┬─ each slot's: rows behind their pasts ─ attention ─ removal ─┬─ joined ─ Completion
                                 └─ chunk's ─ If(any) ─ as in the graph of one sequence ────────┘

Of a routed cache a slot's one token sees every row that is there: what it couldn't see left with the token before. So it needs no
mask, and of the rows one at most leaves, that which it is the last to have in its window. Of a masked one no row leaves.

Shapes: B = 1, K slots, D tokens in slots, C tokens of the chunk, N = D + C, T rows of a sequence, H heads, W head_dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from youtu_onnx.core import batch_graph
from youtu_onnx.core.cache import CacheTensor
from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.form import GraphForm
from youtu_onnx.families.microreason.graph.removal import kept_behind_one, kept_rows, of_rows
from youtu_onnx.families.microreason.graph.slot_parts import SlotParts, traced_slots
from youtu_onnx.families.microreason.graph.traced import ModelParts, traced_model
from youtu_onnx.graphs.axes import IR_DTYPES
from youtu_onnx.graphs.batch_frame import IN_SLOTS, TOTAL, BatchFrame, Lane, lane_name
from youtu_onnx.graphs.builder import GraphBuilder
from youtu_onnx.graphs.parts import Place, put
from youtu_onnx.graphs.traces import Traces

KINDS = ("query", "key", "value", "gate")
"""Of what a layer makes of its tokens; gates' numbers for a routed cache only."""


def build_batch_graph(architecture: Architecture, form: GraphForm, layout: batch_graph.BatchGraph, traces: Traces) -> ir.Model:
    """Trace and assemble; weights are named as in the graph of one sequence, and all of them are in
    that."""
    model, more = traced_model(architecture, form, traces), traced_slots(architecture, form, traces)
    return _Assembler(architecture, form, layout, model, more).model()


@dataclass(frozen=True)
class _Step:
    """What is computed once for all layers.

    Attributes:
        turns: cosines and sines.
        padding: of no token; nothing where no rows leave.
        masks: what the prologue says of the chunk's.
        nothing: the context of a chunk of no tokens.
    """

    turns: list[ir.Value]
    padding: list[ir.Value]
    masks: list[ir.Value]
    nothing: ir.Value


@dataclass(frozen=True)
class _New:
    """A layer's new queries, keys, values and gates' numbers, of all tokens; ``own``: what names begin with."""

    own: str
    index: int
    parts: list[ir.Value]


class _Assembler:
    """Builds one graph; holds what all layers share."""

    def __init__(
        self, a: Architecture, form: GraphForm, layout: batch_graph.BatchGraph, parts: ModelParts, more: SlotParts
    ) -> None:
        self.a, self.form, self.layout, self.parts, self.more = a, form, layout, parts, more
        self.frame = BatchFrame(layout, form.dialect.opset, "microreason_batch")
        self.builder, self.removes = self.frame.builder, form.dialect.removes
        self.kinds = KINDS if self.removes else KINDS[:-1]
        tokens, rest = self.frame.tokens_of_first(), self.frame.counts.in_chunk
        self.sizes = {n: self.builder.op("Concat", [tokens[n], rest], f"step.sizes{n}", {"axis": 0}) for n in tokens}

    def model(self) -> ir.Model:
        frame = self.frame
        step = [frame.inputs[name] for name in (batch_graph.CHUNK_IDS, batch_graph.CHUNK_MASK)]
        seen = [frame.ids, frame.positions, *step]
        hidden, cos, sin, *masks = put(self.builder, self.more.prologue, Place("model.", "embed."), seen)
        shared = self.step([cos, sin], masks)
        for index in range(self.a.num_hidden_layers):
            hidden = self.layer(index, hidden, shared)
        return frame.model(hidden, self.parts.epilogue, self.form.float_dtype, self.a.vocab_size)

    def step(self, turns: list[ir.Value], masks: list[ir.Value]) -> _Step:
        builder, dtype = self.builder, self.form.float_dtype
        padding = [builder.constant("step.padding", np.zeros((1, 1, 1, 1), dtype))] if self.removes else []
        nothing = builder.constant("step.empty", np.zeros((1, 0, self.a.inner_size), dtype))
        return _Step(turns, padding, masks, nothing)

    def layer(self, index: int, hidden: ir.Value, step: _Step) -> ir.Value:
        builder, frame, prefix = self.builder, self.frame, f"model.layers.{index}."
        own = f"{prefix}self_attn."
        made = put(builder, self.parts.project, Place(prefix, "project."), [hidden, *step.turns, *step.padding])
        new = _New(own, index, made)
        joined, *presents = frame.of_used_slots(
            lambda builder, slots: self.slots(builder, slots, new),
            lambda builder, slots: self.nobody(builder, slots, new),
            f"{own}slots",
        )
        of_slots = self.merged(joined, own)
        of_chunk, *rows = self.chunk(new, step)
        tensors = [tensor for lane in frame.lanes for tensor in self.tensors(lane, index)]
        frame.presents |= zip((tensor.present for tensor in tensors), (*presents, *rows), strict=True)
        context = builder.op("Concat", [of_slots, of_chunk], f"{own}context", {"axis": 1})
        [hidden] = put(builder, self.parts.complete, Place(prefix, "complete."), [hidden, context])
        return hidden

    def slots(self, builder: GraphBuilder, slots: range, new: _New) -> list[ir.Value]:
        """All of these slots' contexts ``[1,H,D,W]``, and each one's rows."""
        contexts, presents = [], []
        for slot, parts in zip(slots, self.by_slot(builder, slots, new), strict=True):
            own = f"{new.own}{len(slots)}.{slot}."
            place = Place(own, "slot.", f"{new.index}_{slot}_of_{len(slots)}")
            context, *rows = put(builder, self.more.attend, place, [*parts, *self.pasts(slot, new.index)])
            contexts.append(context)
            if self.removes:
                rows = kept_rows(builder, rows, kept_behind_one(builder, rows[-1], self.a.attention_window, own), own)
            presents += self.typed(rows, slot, new.index)
        if len(slots) == 1:
            return [*contexts, *presents]
        joined = builder.op("Concat", contexts, f"{new.own}{len(slots)}.joined", {"axis": 2})
        joined.type = contexts[0].type
        joined.shape = ir.Shape((1, self.a.num_attention_heads, IN_SLOTS, self.a.head_dim))
        return [joined, *presents]

    def by_slot(self, builder: GraphBuilder, slots: range, new: _New) -> list[list[ir.Value]]:
        """What is new in each of the first slots; behind them the chunk's is parted off."""
        sizes = self.sizes[len(slots)]
        found = []
        for value, kind in zip(new.parts, self.kinds, strict=True):
            names = [f"{new.own}{len(slots)}.{kind}.{place}" for place in (*slots, "rest")]
            found.append(builder.ops("Split", [value, sizes], names, {"axis": 2})[:-1])
        return [list(parts) for parts in zip(*found, strict=True)]

    def merged(self, context: ir.Value, own: str) -> ir.Value:
        """``[1,H,D,W]`` → ``[1,D,H·W]``"""
        by_token = self.builder.op("Transpose", [context], f"{own}by_token", {"perm": (0, 2, 1, 3)})
        shape = self.builder.integers("step.merged", 0, 0, self.a.inner_size)
        return self.builder.op("Reshape", [by_token, shape], f"{own}of_slots")

    def chunk(self, new: _New, step: _Step) -> list[ir.Value]:
        """The chunk's context ``[1,C,H·W]``, and its rows; of no tokens at no cost."""
        own, index, pasts = new.own, new.index, self.pasts(None, new.index)
        some, none = self.builder.branch(f"{own}some"), self.builder.branch(f"{own}none")
        seen, place = [*self.of_chunk(some, new), *pasts], Place(own, "attend.", f"{index}_{lane_name(None)}")
        if self.removes:
            minus_new = some.op("Neg", [self.frame.counts.in_chunk], f"{own}rows.minus_new")
            near = of_rows(some, step.masks[0], pasts, minus_new, own)
            context, *rows, kept = put(some, self.parts.attend, place, [*seen, near])
            rows = kept_rows(some, rows, kept, own)
        else:
            context, *rows = put(some, self.parts.attend, place, [*seen, *step.masks])
        some.graph.outputs.extend([context, *self.typed(rows, None, index)])
        nothing = none.op("Identity", [step.nothing], f"{own}none.context")
        nothing.shape, nothing.type = step.nothing.shape, step.nothing.type
        none.graph.outputs.extend([nothing, *self.no_rows(none, (None,), index, f"{own}none.")])
        return self.frame.if_chunk(some, none, [f"{own}chunk.{name}" for name in ("context", *self.kinds[1:])])

    def of_chunk(self, builder: GraphBuilder, new: _New) -> list[ir.Value]:
        bounds = [
            self.frame.counts.in_slots,
            *(builder.integers(f"step.{name}", at) for name, at in (("end", 2**31), ("axis", 2))),
        ]
        pairs = zip(new.parts, self.kinds, strict=True)
        return [builder.op("Slice", [value, *bounds], f"{new.own}{kind}.chunk") for value, kind in pairs]

    def nobody(self, builder: GraphBuilder, slots: range, new: _New) -> list[ir.Value]:
        return self.no_rows(builder, slots, new.index, f"{new.own}beyond{slots.start}.")

    def no_rows(self, builder: GraphBuilder, lanes: Sequence[Lane], layer: int, prefix: str) -> list[ir.Value]:
        """Presents of lanes in which nobody is: outputs that have to be there, and that nobody reads. One node makes all of a
        size."""
        tensors = [(lane, tensor) for lane in lanes for tensor in self.tensors(lane, layer)]
        made: dict[str, ir.Value] = {}
        for heads, width in dict.fromkeys((tensor.heads, tensor.width) for _, tensor in tensors):
            alike = [tensor.present for _, tensor in tensors if (tensor.heads, tensor.width) == (heads, width)]
            none = builder.constant(f"step.no_rows.{heads}.{width}", np.zeros((1, heads, 0, width), self.form.cache.dtype))
            sizes = builder.integers(f"step.no_rows.of_{len(alike)}", *[0] * len(alike))
            names = [f"{prefix}{name}" for name in alike]
            made |= zip(alike, builder.ops("Split", [none, sizes], names, {"axis": 2}), strict=True)
        for lane in lanes:
            self.typed([made[tensor.present] for tensor in self.tensors(lane, layer)], lane, layer)
        return [made[tensor.present] for _, tensor in tensors]

    def typed(self, rows: list[ir.Value], lane: Lane, layer: int) -> list[ir.Value]:
        for value, tensor in zip(rows, self.tensors(lane, layer), strict=True):
            value.type = ir.TensorType(IR_DTYPES[self.form.cache.dtype])
            value.shape = ir.Shape(self.frame.dims(TOTAL, lane, tensor))
        return rows

    def pasts(self, lane: Lane, layer: int) -> list[ir.Value]:
        return [self.frame.pasts[tensor.past] for tensor in self.tensors(lane, layer)]

    def tensors(self, lane: Lane, layer: int) -> list[CacheTensor]:
        return [tensor for tensor in self.layout.tensors(lane) if tensor.layer == layer]
