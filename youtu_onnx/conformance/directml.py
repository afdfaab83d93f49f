"""DirectML: its kernels, and what was found by running graphs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from youtu_onnx.conformance.table import ANY, BOOL, BYTES, FLOATS, NUMBERS, WIDE, Elsewhere, Table, kernels
from youtu_onnx.core.target import TARGETS

if TYPE_CHECKING:
    import onnx_ir as ir

K_MULTIPLE = TARGETS["dml"].columns
"""Of MatMulNBits' K."""


def _traps(node: ir.Node) -> tuple[Elsewhere, str] | None:
    if node.op_type == "MatMulNBits":
        if node.attributes["K"].as_int() % K_MULTIPLE:
            return "cpu", f"K is no multiple of {K_MULTIPLE}"
        bits, blocks = (
            node.attributes["bits"].as_int(),
            -(-node.attributes["K"].as_int() // node.attributes["block_size"].as_int()),
        )
        if bits == 8 and blocks % 2 and len(node.inputs) > 3 and node.inputs[3] is not None:
            return "wrong", "with 8 bits and an odd number of blocks a row, zero points are read in other places"
    if node.op_type == "RotaryEmbedding":
        value = node.inputs[0]
        if value is None or value.shape is None or len(value.shape) != 3:
            return "wrong", "on input of four dimensions, once the graph is captured"
    return None


DIRECTML = Table(
    "DirectML in ONNX Runtime 1.24.4",
    kernels(
        ("Add Sub Mul Div", (7, 13, 14), {0: NUMBERS}),
        ("Max Min", (12, 13), {0: NUMBERS}),
        ("And Or Xor", (7,), {0: BOOL}),
        ("Not", (1,), {0: BOOL}),
        ("Cast", (13, 19, 21), {0: ANY}),
        ("Concat Expand Gather GatherElements Slice Tile", (13,), {0: ANY}),
        ("Where", (9, 16), {1: ANY}),
        ("Cos Sin", (7,), {0: FLOATS}),
        ("CumSum", (11, 14), {0: FLOATS | WIDE}),
        ("Clip", (12, 13), {0: NUMBERS}),
        ("DequantizeLinear", (21,), {0: frozenset({"INT4", "UINT4", "INT8", "UINT8"})}),
        ("MatMulInteger", (10,), {0: frozenset({"INT8", "UINT8"})}),
        ("Equal", (11, 13, 19), {0: NUMBERS}),
        ("Greater Less", (9, 13), {0: NUMBERS}),
        ("GreaterOrEqual LessOrEqual", (12, 16), {0: NUMBERS}),
        ("Exp Erf Sigmoid Sqrt Tanh Reciprocal Softmax MatMul Gemm", (13,), {0: FLOATS}),
        ("Neg", (13,), {0: FLOATS | frozenset({"INT8", "INT16", "INT32", "INT64"})}),
        ("Abs", (13,), {0: NUMBERS}),
        ("Floor Ceil", (13,), {0: FLOATS}),
        ("Mod", (10, 13), {0: FLOATS | frozenset({"INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32"})}),
        ("Pow", (13, 15), {0: FLOATS | frozenset({"INT32"})}),
        ("ReduceMax ReduceMin", (13, 18, 20), {0: NUMBERS}),
        ("ReduceMean ReduceSumSquare", (18,), {0: FLOATS | WIDE}),
        ("ReduceSum", (13,), {0: FLOATS | WIDE}),
        ("OneHot", (11,), {0: WIDE}),
        ("Range", (11,), {0: frozenset({"FLOAT", "INT16", "INT32", "INT64"})}),
        ("Reshape Squeeze Unsqueeze Transpose Shape Identity", (13, 14, 15, 16, 19, 21), {0: ANY}),
        ("Split", (13, 18), {0: ANY}),
        ("Trilu", (14,), {0: ANY}),
        ("SimplifiedLayerNormalization", (1,), {0: FLOATS}),
        (".SkipSimplifiedLayerNormalization .FusedMatMul .QuickGelu .Gelu .RotaryEmbedding", (1,), {0: FLOATS}),
        (".MatMulNBits", (1,), {0: FLOATS, 1: BYTES}),
        (".DequantizeLinear", (1,), {0: frozenset({"INT8", "UINT8", "INT32"})}),
        (".MatMulIntegerToFloat", (1,), {0: frozenset({"INT8", "UINT8"})}),
    ),
    never={
        "ScatterND": ("cpu", "is left to the CPU, although a kernel is registered"),
        "ScatterElements": ("cpu", "is left to the CPU, although a kernel is registered"),
        "GroupQueryAttention": ("wrong", "ignores do_rotary, and is wrong when several tokens are appended"),
    },
    traps=_traps,
)
