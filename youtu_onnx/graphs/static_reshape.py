"""Reshape to sizes computed at run time → Reshape to constants.

``Reshape(x, Concat(Shape(…)…))``  →  ``Reshape(x, [0, 0, 16, 128])``

The traced shapes of x and of the result say which axes keep their length (0 copies the axis of the same index), which
are literal, and if one axis is left over it is -1. Each rewrite frees a chain of small integer operators that would run
on every step, and on GPUs often on the CPU.
"""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.graphs.builder import GraphBuilder


def static_reshape(model: ir.Model) -> int:
    """Rewrite in place; returns how many were rewritten. Reshapes with two unknown axes stay as they are."""
    count = 0
    for node in model.graph:
        if node.op_type != "Reshape":
            continue
        value, computed = node.inputs
        if value is None or computed is None or computed.const_value is not None:
            continue
        source, result = value.shape, node.outputs[0].shape
        if source is None or result is None:
            continue
        sizes = constant_sizes(list(source), list(result))
        if sizes is None:
            continue
        name = f"shape_{'_'.join(str(size).replace('-', 'rest') for size in sizes)}"
        node.replace_input_with(1, GraphBuilder.of(model.graph).integers(name, *sizes))
        node.attributes.pop("allowzero", None)
        count += 1
    return count


def constant_sizes(source: list[object], result: list[object]) -> list[int] | None:
    """The shape operand that turns symbolic shape ``source`` into ``result``, or None if two axes are unknown."""
    sizes: list[int] = []
    for axis, size in enumerate(result):
        if isinstance(size, int):
            sizes.append(size)
        elif axis < len(source) and str(source[axis]) == str(size):
            sizes.append(0)
        else:
            sizes.append(-1)
    return sizes if sizes.count(-1) <= 1 else None
