"""GatherBlockQuantized in operators that every build of ONNX Runtime has.

The WebAssembly build that transformers.js loads (asyncify, for WebGPU's sake) has no CPU kernel of it: int4 and int8 bundles
would not open there. The weights stay as they are; only the rows that are looked up are unpacked. B batch, S tokens, G blocks a
row, K = G · block size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from youtu_onnx.graphs.builder import Attributes, GraphBuilder, dtype_of, size_of


def plain_embedding(graph: ir.Graph) -> None:
    """Replace the graph's quantized look-ups; there is one at most."""
    for node in [node for node in graph if node.op_type == "GatherBlockQuantized"]:
        _replace(graph, node)


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    data, ids, scales, *zero_points = node.inputs
    assert scales is not None
    look_up = _LookUp(GraphBuilder.of(graph).at(node), node, scales)
    numbers = look_up.floats(look_up.unpacked(look_up.op("Gather", [data, ids], {"axis": 0})), look_up.block)
    if zero_points:
        zeros = look_up.unpacked(look_up.op("Gather", [zero_points[0], ids], {"axis": 0}))
        if look_up.bits == 4 and look_up.groups % 2:  # half a byte is left over
            zeros = look_up.op("Slice", [zeros, *(look_up.constant([n], np.int64) for n in (0, look_up.groups, 2))])
        zeros = look_up.floats(zeros, 1)
    else:
        zeros = look_up.op("Cast", [look_up.constant(2 ** (look_up.bits - 1), np.uint8)], {"to": dtype_of(look_up.scales).value})
    own = look_up.op("Gather", [scales, ids], {"axis": 0})
    factors = look_up.op("Unsqueeze", [own, look_up.constant([-1], np.int64)])  # [B, S, G, 1]
    rows = look_up.op("Mul", [look_up.op("Sub", [numbers, zeros]), factors])
    width = look_up.groups * look_up.block
    result = look_up.op("Reshape", [rows, look_up.constant([0, 0, width], np.int64)])  # [B, S, K]
    old = node.outputs[0]
    result.type, result.shape = old.type, old.shape
    look_up.here.take(node, result)
    result.name = old.name


class _LookUp:
    """Nodes in front of a GatherBlockQuantized, named after it and counted."""

    def __init__(self, here: GraphBuilder, node: ir.Node, scales: ir.Value) -> None:
        self.here, self.name, self.scales = here, node.name, scales
        self.bits, self.block = node.attributes["bits"].as_int(), node.attributes["block_size"].as_int()
        self.groups = size_of(scales, 1)
        self.made = self.constants = 0

    def op(self, kind: str, inputs: Sequence[ir.Value | None], attributes: Attributes | None = None) -> ir.Value:
        self.made += 1
        return self.here.op(kind, inputs, f"{self.name}/{self.made - 1}", attributes)

    def constant(self, values: int | list[int], dtype: type[np.generic]) -> ir.Value:
        self.constants += 1
        return self.here.constant(f"{self.name}/constant.{self.constants - 1}", np.array(values, dtype))

    def unpacked(self, packed: ir.Value) -> ir.Value:
        """[B, S, n] bytes → their numbers; of two in a byte the lower half is the first."""
        if self.bits == 8:
            return packed
        last = self.constant([-1], np.int64)
        halves = [
            self.op("BitwiseAnd", [packed, self.constant(15, np.uint8)]),
            self.op("BitShift", [packed, self.constant(4, np.uint8)], {"direction": "RIGHT"}),
        ]
        pairs = self.op("Concat", [self.op("Unsqueeze", [half, last]) for half in halves], {"axis": -1})  # [B, S, n, 2]
        return self.op("Reshape", [pairs, self.constant([0, 0, -1], np.int64)])

    def floats(self, numbers: ir.Value, width: int) -> ir.Value:
        """[B, S, G · width] → [B, S, G, width] in the scales' type."""
        shaped = self.op("Reshape", [numbers, self.constant([0, 0, self.groups, width], np.int64)])
        return self.op("Cast", [shaped], {"to": dtype_of(self.scales).value})
