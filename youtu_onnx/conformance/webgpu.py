"""WebGPU's kernels, as its plugin for desktops takes them: each was offered to it in a graph of its own, of opsets 18 to 23, with
each type that ONNX lets it have. ``tests/runtimes/test_webgpu_table.py`` does it again.

Whole numbers of 64 bits aren't WebGPU's: what computes with ids, masks and positions stays on the CPU until it is cast.
"""

from __future__ import annotations

from youtu_onnx.conformance.host import OF_SIZES, WIDE
from youtu_onnx.conformance.table import BOOL, BYTES, FLOATS, Table, kernels

NUMBERS = FLOATS | frozenset({"INT32", "UINT32"})

WEBGPU = Table(
    "WebGPU in onnxruntime-ep-webgpu 0.4.0",
    kernels(
        ("Add Sub Mul Div", (14,), {0: NUMBERS}),
        ("Max Min Clip Gemm ReduceSum", (13,), {0: NUMBERS}),
        ("And", (7,), {0: BOOL}),
        ("Not", (1,), {0: BOOL}),
        ("Cast Reshape", (13, 14, 19, 21, 23), {0: NUMBERS | BOOL | BYTES}),
        ("Unsqueeze", (13, 21, 23), {0: NUMBERS | BOOL}),
        ("Squeeze Transpose", (13, 21, 23), {0: NUMBERS}),
        ("Shape Identity", (15, 16, 19, 21, 23), {0: NUMBERS}),
        ("Concat", (13,), {0: NUMBERS}),
        ("Expand Gather", (13,), {0: NUMBERS | BOOL | BYTES}),
        ("Slice GatherElements Neg Abs Ceil Floor", (13,), {0: FLOATS}),
        ("If", (16, 19, 21), {0: BOOL}),
        ("Trilu", (14,), {0: NUMBERS}),
        ("Where", (16,), {1: NUMBERS | BOOL}),
        ("Cos Sin", (7,), {0: FLOATS}),
        ("CumSum", (14,), {0: NUMBERS}),
        ("Equal", (13, 19), {0: NUMBERS}),
        ("Greater Less", (13,), {0: NUMBERS}),
        ("GreaterOrEqual LessOrEqual", (16,), {0: NUMBERS}),
        ("Exp Erf Sigmoid Sqrt Tanh Reciprocal Log Softmax MatMul", (13,), {0: FLOATS}),
        ("Pow", (15,), {0: FLOATS | frozenset({"INT32"})}),
        ("ReduceMax", (18, 20), {0: NUMBERS}),
        ("ReduceMean", (18,), {0: NUMBERS}),
        ("Range", (11,), {0: frozenset({"FLOAT", "INT32"})}),
        ("Split ScatterND", (18,), {0: NUMBERS}),
        ("RMSNormalization RotaryEmbedding", (23,), {0: FLOATS}),
        ("SimplifiedLayerNormalization", (1,), {0: FLOATS}),
        (".SkipSimplifiedLayerNormalization .QuickGelu .Gelu .RotaryEmbedding .MatMulNBits", (1,), {0: FLOATS}),
        (".GatherBlockQuantized", (1,), {0: BYTES, 2: FLOATS}),
    ),
    may_leave={**OF_SIZES, **WIDE},
)
