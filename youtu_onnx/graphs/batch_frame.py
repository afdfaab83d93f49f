"""What batch graphs have in common, whatever a layer does: see ``youtu_onnx/core/batch_graph.py`` for what goes in and out.

A layer takes all tokens through its products at once, those in slots first (N = D + C), and parts them for attention only.

Shapes: B = 1, K slots, D tokens in slots, C tokens of the chunk, N = D + C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from youtu_onnx.core import batch_graph
from youtu_onnx.core.cache import CacheTensor
from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.graphs.axes import IR_DTYPES
from youtu_onnx.graphs.builder import Dims, GraphBuilder, declared
from youtu_onnx.graphs.head import append_head, positions_from

TOKENS, IN_SLOTS, IN_SLOT, CHUNK = "tokens", "tokens_in_slots", "tokens_in_slot", "chunk_length"
TOTAL, PAST = "total_length", "past_length"

Lane = int | None
"""A slot's number, or None for the chunk."""
OfSlots = Callable[[GraphBuilder, range], list[ir.Value]]
"""Appends nodes for some slots."""


@dataclass(frozen=True)
class TokenCounts:
    """Numbers of new tokens, computed once for all layers.

    Attributes:
        two: in slots and of the chunk [2]; ``each``: of every slot, and of the chunk [K + 1].
        in_slots: in all slots [1].
        in_chunk: of the chunk [1]; ``chunk``: likewise, a scalar; ``any``: whether it has some.
        beyond: by a number of slots, whether others than the first so many are in use: half of all, half of those, and so on.
    """

    two: ir.Value
    each: ir.Value
    in_slots: ir.Value
    in_chunk: ir.Value
    chunk: ir.Value
    any: ir.Value
    beyond: dict[int, ir.Value]


class BatchFrame:
    """A batch graph on its way: it has its inputs, and a family adds the layers.

    Attributes:
        builder: of the outermost graph.
        inputs: all but pasts, by name.
        ids, positions: [1,N].
        pasts: by name; ``presents``: likewise, for the family to fill.
    """

    def __init__(self, layout: batch_graph.BatchGraph, opset: int, name: str) -> None:
        self.layout, self.lanes = layout, (*range(layout.slots), None)
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
        self.stored = IR_DTYPES[layout.cache.dtype]
        self.pasts = {
            t.past: declared(t.past, self.stored, self.dims(PAST, lane, t)) for lane in self.lanes for t in layout.tensors(lane)
        }
        inputs = [*self.inputs.values(), *self.pasts.values()]
        graph = ir.Graph(inputs, [], nodes=[], name=name, opset_imports={"": opset, MICROSOFT: 1})
        self.builder = GraphBuilder.of(graph)
        self.presents: dict[str, ir.Value] = {}
        self.ids = self._both(batch_graph.SLOT_IDS, batch_graph.CHUNK_IDS, "step.ids")
        self.positions = self._both(batch_graph.SLOT_POSITIONS, batch_graph.CHUNK_POSITIONS, "step.positions")
        self.counts = self._counted()

    def dims(self, length: str, lane: Lane, tensor: CacheTensor) -> Dims:
        """Of a cache tensor. Where layers keep rows of their own number, so have lengths their names."""
        own = f"{length}_{lane_name(lane)}" + ("" if self.layout.cache.uniform else f"_{tensor.layer}")
        return 1, tensor.heads, own, tensor.width

    def split(self, value: ir.Value, sizes: ir.Value, axis: int, names: list[str]) -> list[ir.Value]:
        return self.builder.ops("Split", [value, sizes], names, {"axis": axis})

    def by_lane(self, value: ir.Value, axis: int, name: str) -> list[ir.Value]:
        """All tokens' values → each slot's and the chunk's."""
        return self.split(value, self.counts.each, axis, [f"{name}.{lane_name(lane)}" for lane in self.lanes])

    def tokens_of_first(self) -> dict[int, ir.Value]:
        """By numbers of slots, those in each of the first so many."""
        builder, tokens, count = self.builder, self.inputs[batch_graph.SLOT_TOKENS], self.layout.slots
        start, found = builder.integers("step.start", 0), {count: tokens}
        for half in halves(count):
            end = builder.integers(f"step.end{half}", half)
            found[half] = builder.op("Slice", [tokens, start, end], f"step.tokens{half}")
        return found

    def of_used_slots(self, some: OfSlots, idle: OfSlots, name: str) -> list[ir.Value]:
        """What ``some`` makes of all slots, or where no others are in use of the first one, the first two, and so on: slots
        beyond the last one in use cost nothing. Its outputs are those of these slots together, and then those of one after the
        other; ``idle`` makes the latter for the slots that are left."""
        return self._of_first(self.builder, sorted(self.counts.beyond), some, idle, name)

    def if_chunk(self, some: GraphBuilder, none: GraphBuilder, names: list[str]) -> list[ir.Value]:
        """What the one branch makes of a chunk, or the other where there is none."""
        return self.builder.choose_all(self.counts.any, some.graph, none.graph, names)

    def model(self, hidden: ir.Value, epilogue: ir.Model, float_dtype: str, vocab_size: int) -> ir.Model:
        """``hidden`` [1,N,…] of the last layer."""
        builder, wanted = self.builder, self.inputs[batch_graph.CHUNK_LOGITS]
        of_slots, of_chunk = self.split(hidden, self.counts.two, 1, ["head.slots", "head.chunk"])
        start = builder.op("Sub", [self.counts.in_chunk, wanted], "head.start")
        last = positions_from(builder, of_chunk, start, "head.last")
        kept = builder.op("Concat", [of_slots, last], "head.kept", {"axis": 1})
        logits = append_head(builder, epilogue, kept)
        builder.output(logits, "logits", IR_DTYPES[float_dtype], [1, "logits_length", vocab_size])
        for lane in self.lanes:
            for t in self.layout.tensors(lane):
                builder.output(self.presents[t.present], t.present, self.stored, self.dims(TOTAL, lane, t))
        return ir.Model(builder.graph, ir_version=10, producer_name="youtu-onnx")

    def _both(self, of_slots: str, of_chunk: str, name: str) -> ir.Value:
        return self.builder.op("Concat", [self.inputs[of_slots], self.inputs[of_chunk]], name, {"axis": 1})

    def _counted(self) -> TokenCounts:
        builder, tokens = self.builder, self.inputs[batch_graph.SLOT_TOKENS]
        along = {"start": 1, "end": 2}
        in_slots = builder.op("Shape", [self.inputs[batch_graph.SLOT_IDS]], "step.in_slots", along)
        in_chunk = builder.op("Shape", [self.inputs[batch_graph.CHUNK_IDS]], "step.in_chunk", along)
        two = builder.op("Concat", [in_slots, in_chunk], "step.parts", {"axis": 0})
        each = builder.op("Concat", [tokens, in_chunk], "step.lanes", {"axis": 0})
        chunk = builder.op("Squeeze", [in_chunk], "step.chunk")
        any_ = builder.op("Greater", [chunk, builder.integer("step.none", 0)], "step.any")
        return TokenCounts(two, each, in_slots, in_chunk, chunk, any_, self._beyond(tokens))

    def _beyond(self, tokens: ir.Value) -> dict[int, ir.Value]:
        builder, count = self.builder, self.layout.slots
        used = builder.op("Mul", [tokens, builder.integers("step.numbers", *range(1, count + 1))], "step.used")
        last = builder.op("ReduceMax", [used], "step.last", {"keepdims": 0})
        return {
            half: builder.op("Greater", [last, builder.integer(f"step.first{half}", half)], f"step.beyond{half}")
            for half in halves(count)
        }

    def _of_first(self, builder: GraphBuilder, counts: list[int], some: OfSlots, idle: OfSlots, name: str) -> list[ir.Value]:
        """``counts``: of slots, fewer than all, that are still to be tried."""
        if not counts:
            return some(builder, range(self.layout.slots))
        count = counts[0]
        few, more = builder.branch(f"{name}.first{count}"), builder.branch(f"{name}.beyond{count}")
        few.graph.outputs.extend(some(few, range(count)))
        few.graph.outputs.extend(idle(few, range(count, self.layout.slots)))
        more.graph.outputs.extend(self._of_first(more, counts[1:], some, idle, name))
        names = [f"{name}.from{count}.{place}" for place in range(len(few.graph.outputs))]
        return builder.choose_all(self.counts.beyond[count], more.graph, few.graph, names)


def halves(count: int) -> list[int]:
    """Of 8: 4, 2 and 1."""
    found = []
    while count > 1:
        count = (count + 1) // 2
        found.append(count)
    return found


def lane_name(lane: Lane) -> str:
    return "chunk" if lane is None else str(lane)
