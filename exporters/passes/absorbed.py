"""W_UK and W_UV as int8: a quarter of the float32 bytes that every token would read.

``MatMul(x, W)``, x float [B,H,S,K], W [H,K,N], becomes a product of integers with a scale for each row of x, chosen when
it runs, and one for each head and column of W::

    scale  = ReduceMax(Abs(x), axis=-1) / 127                   [B,H,S,1]
    q      = Cast(Round(x / scale) + 128, uint8)                [B,H,S,K]
    result = Cast(MatMulInteger(q, W_q, zero point 128)) * scale * W_scale

The left operand is unsigned, because ONNX Runtime's CPU kernels have no fast path for two signed ones. A scale for each
row, and not for the whole tensor, keeps a row's result independent of the rows beside it: a batch gives the same logits
as its prompts alone, and a prompt in one piece the same as in chunks.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from exporters.assembly import Assembly
from exporters.quantize.packing import absorbed_int8

SMALLEST = np.float32(1e-30)
"""Keeps a row of zeros from dividing by zero."""


def absorbed(assembly: Assembly) -> None:
    """Rewrite every product with an absorbed matrix in place. Activations must be float32."""
    for node in list(assembly.graph):
        name = node.inputs[1].name if node.op_type == "MatMul" and node.inputs[1] is not None else None
        parameter = assembly.unpacked(name) if name else None
        if parameter is None or parameter.kind != "absorbed":
            continue
        weight, weight_scales = assembly.store(name, absorbed_int8(name, parameter))
        _product(assembly, node, weight, weight_scales)
        del assembly.graph.initializers[name]


def _product(assembly: Assembly, node: ir.Node, weight: ir.Value, weight_scales: ir.Value) -> None:
    stem = node.outputs[0].name

    def add(op_type: str, suffix: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        return assembly.insert_before(node, op_type, list(inputs), f"{stem}/{suffix}", attributes=attributes).outputs[0]

    x = node.inputs[0]
    last_axis = assembly.constant("absorbed.last_axis", np.array([-1], np.int64))
    inverse_127 = assembly.constant("absorbed.inverse_127", np.array(1 / 127, np.float32))
    smallest = assembly.constant("absorbed.smallest", SMALLEST.reshape(()))
    middle = assembly.constant("absorbed.middle", np.array(128, np.float32))
    zero_point = assembly.constant("absorbed.zero_point", np.array(128, np.uint8))
    largest = add("ReduceMax", "largest", add("Abs", "abs", x), last_axis, keepdims=1)
    scale = add("Max", "scale", add("Mul", "scale_or_zero", largest, inverse_127), smallest)
    shifted = add("Add", "shifted", add("Round", "rounded", add("Div", "divided", x, scale)), middle)
    integers = add("Cast", "q", shifted, to=int(ir.DataType.UINT8))
    product = add("MatMulInteger", "integers", integers, weight, zero_point)
    floats = add("Cast", "floats", product, to=int(ir.DataType.FLOAT))
    assembly.replace(node, "Mul", [add("Mul", "by_row", floats, scale), weight_scales])
