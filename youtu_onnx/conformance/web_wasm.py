"""The processor in a browser: onnxruntime-web's CPU provider, compiled to WebAssembly.

Found by offering each operator in a graph of its own, of opsets 18 to 23, with each type that ONNX lets it have, to
``ort-wasm-simd-threaded.wasm`` in Node; ``tests/consumers/test_web_wasm.py`` does it again. What opens counts as taken: a
float16 operand is cast to float32 and back where there is no kernel for it. The other build,
``ort-wasm-simd-threaded.asyncify.wasm``, which onnxruntime-web loads for WebGPU, was tried once in the same way: it lacks
GatherBlockQuantized, doubles and integers of 16 bits.
"""

from __future__ import annotations

from youtu_onnx.conformance.table import ANY, BOOL, BYTES, FLOATS, INTEGERS, NUMBERS, WIDE, Table, kernels

REALS = FLOATS | frozenset({"DOUBLE"})
NO_SHORTS = (NUMBERS | REALS) - {"INT16", "UINT16"}
SIGNED = frozenset({"INT32", "INT64"})

WEB_WASM = Table(
    "WebAssembly in onnxruntime-web 1.30.0",
    kernels(
        ("Add Sub Mul Div", (14,), {0: NUMBERS | REALS}),
        ("Abs Greater Less Mod", (13,), {0: NUMBERS | REALS}),
        ("GreaterOrEqual LessOrEqual", (16,), {0: NUMBERS | REALS}),
        ("Max Min Clip", (13,), {0: NO_SHORTS}),
        ("Pow", (15,), {0: REALS | SIGNED}),
        ("And Or Xor", (7,), {0: BOOL}),
        ("Not", (1,), {0: BOOL}),
        ("BitwiseAnd BitwiseOr BitwiseXor", (18,), {0: INTEGERS}),
        ("Equal", (13, 19), {0: ANY | REALS}),
        ("Neg", (13,), {0: REALS | SIGNED | frozenset({"INT8", "INT16"})}),
        ("Ceil Exp Floor Gemm Log Reciprocal Sigmoid Softmax Sqrt Tanh", (13,), {0: REALS}),
        ("Erf", (13,), {0: FLOATS}),
        ("Cos Sin", (7, 22), {0: REALS}),
        ("Round", (11, 22), {0: REALS}),
        ("Cast Size", (13, 19, 21, 23), {0: ANY | REALS}),
        ("Compress", (11,), {0: ANY | REALS}),
        ("Concat Expand Gather GatherElements Slice", (13,), {0: ANY | REALS}),
        ("Identity", (16, 19, 21, 23), {0: ANY | REALS}),
        ("Shape", (15, 19, 21, 23), {0: ANY | REALS}),
        ("Reshape", (14, 19, 21, 23), {0: ANY | REALS}),
        ("Squeeze Transpose Unsqueeze", (13, 21, 23), {0: ANY | REALS}),
        ("Split ScatterND", (18,), {0: ANY | REALS}),
        ("Where", (16,), {1: REALS | SIGNED | BYTES}),
        ("Trilu", (14,), {0: REALS | SIGNED | BOOL}),
        ("CumSum", (14,), {0: REALS | SIGNED}),
        ("If", (16, 19, 21, 23), {0: BOOL}),
        ("MatMul", (13,), {0: REALS | WIDE}),
        ("MatMulInteger", (10,), {0: frozenset({"INT8", "UINT8"})}),
        ("Range", (11,), {0: frozenset({"FLOAT", "DOUBLE", "INT16", "INT32", "INT64"})}),
        ("ReduceMean", (18,), {0: REALS | SIGNED}),
        ("ReduceSum", (13,), {0: REALS | SIGNED}),
        ("ReduceMax", (18, 20), {0: REALS | SIGNED | BOOL | frozenset({"INT8", "UINT8"})}),
        ("RMSNormalization", (23,), {0: REALS}),
        ("RotaryEmbedding", (23,), {0: FLOATS}),
        ("SimplifiedLayerNormalization", (1,), {0: FLOATS}),
        (".SkipSimplifiedLayerNormalization .FusedMatMul .QuickGelu .Gelu .RotaryEmbedding", (1,), {0: FLOATS}),
        (".GatherBlockQuantized", (1,), {0: BYTES, 2: FLOATS}),
        (".MatMulIntegerToFloat", (1,), {0: BYTES, 2: FLOATS}),
        (".MatMulNBits", (1,), {0: FLOATS, 1: BYTES}),
    ),
    alone=True,
)
