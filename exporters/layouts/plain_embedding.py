"""GatherBlockQuantized in operators that every build of ONNX Runtime has.

The WebAssembly build that transformers.js loads (asyncify, for WebGPU's sake) has no CPU kernel of it: int4 and int8 bundles
would not open there. The weights stay as they are; only the rows that are looked up are unpacked. B batch, S tokens, G blocks a
row, K = G · block size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir


def plain_embedding(graph: ir.Graph) -> None:
    """Replace the graph's quantized look-ups; there is one at most."""
    for node in [node for node in graph if node.op_type == "GatherBlockQuantized"]:
        _replace(graph, node)


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    data, ids, scales, *zero_points = node.inputs
    bits, block = node.attributes["bits"].as_int(), node.attributes["block_size"].as_int()
    groups = scales.shape[1]
    made: list[ir.Node] = []

    def op(name: str, inputs: Sequence[ir.Value], **attributes: Any) -> ir.Value:
        given = [
            ir.Attr(key, ir.AttributeType.STRING if isinstance(value, str) else ir.AttributeType.INT, value)
            for key, value in attributes.items()
        ]
        made.append(ir.Node("", name, inputs, given, name=f"{node.name}/{len(made)}"))
        made[-1].outputs[0].name = f"{node.name}/{len(made) - 1}"
        return made[-1].outputs[0]

    def constant(values: Any, dtype: type) -> ir.Value:
        value = ir.Value(name=f"{node.name}/constant.{len(constants)}", const_value=ir.tensor(np.array(values, dtype)))
        graph.register_initializer(value)
        constants.append(value)
        return value

    def unpacked(packed: ir.Value) -> ir.Value:
        """[B, S, n] bytes → their numbers; of two in a byte the lower half is the first."""
        if bits == 8:
            return packed
        last = constant([-1], np.int64)
        halves = [
            op("BitwiseAnd", [packed, constant(15, np.uint8)]),
            op("BitShift", [packed, constant(4, np.uint8)], direction="RIGHT"),
        ]
        pairs = op("Concat", [op("Unsqueeze", [half, last]) for half in halves], axis=-1)  # [B, S, n, 2]
        return op("Reshape", [pairs, constant([0, 0, -1], np.int64)])

    def floats(numbers: ir.Value, width: int) -> ir.Value:
        """[B, S, G · width] → [B, S, G, width] in the scales' type."""
        shaped = op("Reshape", [numbers, constant([0, 0, groups, width], np.int64)])
        return op("Cast", [shaped], to=scales.dtype.value)

    constants: list[ir.Value] = []
    numbers = floats(unpacked(op("Gather", [data, ids], axis=0)), block)
    if zero_points:
        zeros = unpacked(op("Gather", [zero_points[0], ids], axis=0))
        if bits == 4 and groups % 2:  # half a byte is left over
            zeros = op("Slice", [zeros, *(constant([n], np.int64) for n in (0, groups, 2))])
        zeros = floats(zeros, 1)
    else:
        zeros = op("Cast", [constant(2 ** (bits - 1), np.uint8)], to=scales.dtype.value)
    factors = op("Unsqueeze", [op("Gather", [scales, ids], axis=0), constant([-1], np.int64)])  # [B, S, G, 1]
    rows = op("Mul", [op("Sub", [numbers, zeros]), factors])
    result = op("Reshape", [rows, constant([0, 0, groups * block], np.int64)])  # [B, S, K]
    graph.insert_before(node, made)
    name, result.type, result.shape = node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape
    node.outputs[0].replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    result.name = name
