"""CUDA's kernels."""

from __future__ import annotations

from youtu_onnx.conformance.host import OF_SIZES
from youtu_onnx.conformance.table import ANY, BOOL, BYTES, FLOATS, NUMBERS, WIDE, Table, kernels

CUDA = Table(
    "CUDA in ONNX Runtime 1.31",
    kernels(
        ("Add Sub Mul Div", (14,), {0: NUMBERS}),
        ("Max Min", (13,), {0: FLOATS | WIDE}),
        ("And Or Xor", (7,), {0: BOOL}),
        ("Not", (1,), {0: BOOL}),
        ("Cast", (13, 19, 21), {0: ANY}),
        ("Concat Expand Gather GatherElements Slice", (13,), {0: ANY}),
        ("Where", (16,), {1: FLOATS | frozenset({"INT32", "INT64", "UINT8"})}),
        ("Cos Sin", (7,), {0: FLOATS}),
        ("CumSum", (14,), {0: FLOATS | WIDE}),
        ("Clip", (13,), {0: FLOATS | frozenset({"INT8", "UINT8", "INT64", "UINT64"})}),
        ("Equal", (13,), {0: FLOATS | BOOL | WIDE}),
        ("Greater Less", (13,), {0: FLOATS | WIDE}),
        ("GreaterOrEqual LessOrEqual", (16,), {0: FLOATS | WIDE}),
        ("Exp Erf Sigmoid Sqrt Tanh Reciprocal Softmax MatMul Gemm Floor", (13,), {0: FLOATS}),
        ("Neg", (13,), {0: FLOATS | frozenset({"INT8", "INT16", "INT32", "INT64"})}),
        ("Mod", (13,), {0: FLOATS | WIDE}),
        ("Pow", (15,), {0: FLOATS | frozenset({"INT32", "INT64"})}),
        ("ReduceMax", (18,), {0: FLOATS | frozenset({"INT32", "INT64"})}),
        ("ReduceMean", (18,), {0: FLOATS | frozenset({"INT32"})}),
        ("ReduceSum", (13,), {0: FLOATS | frozenset({"INT32", "INT64"})}),
        ("Range", (11,), {0: frozenset({"FLOAT", "INT16", "INT32", "INT64"})}),
        ("Reshape Squeeze Unsqueeze Transpose Shape", (13, 14, 15, 19, 21, 23), {0: ANY}),
        ("Identity", (13, 14, 16, 19), {0: ANY}),
        ("Split", (13, 18), {0: ANY}),
        ("Trilu", (14,), {0: ANY}),
        ("RMSNormalization RotaryEmbedding", (23,), {0: FLOATS}),
        ("TensorScatter", (24,), {0: ANY}),
        ("SimplifiedLayerNormalization", (1,), {0: FLOATS}),
        (".SkipSimplifiedLayerNormalization .FusedMatMul .QuickGelu .Gelu .RotaryEmbedding", (1,), {0: FLOATS}),
        (".GatherBlockQuantized", (1,), {0: frozenset({"INT4", "UINT4", "UINT8"}), 2: FLOATS}),
        (".MatMulNBits", (1,), {0: FLOATS, 1: BYTES}),
    ),
    may_leave=OF_SIZES,
    never={"GroupQueryAttention": ("cpu", "takes heads of up to 512 numbers, and a latent row has more")},
)
