"""Linear layers in the form that the recipe asks for.

``MatMul(x, Transpose(W))``, W a matrix [N,K], becomes

- ``MatMulNBits(x, B, scales, zero_points?)`` where the recipe quantizes W (com.microsoft, opset 1);
- ``FusedMatMul(x, W, transB=1)`` for a float head whose W is the embedding too: one copy serves both. Where that isn't to be
  had, ``Gemm(x, W, transB=1)``, of two dimensions, between Reshapes;
- ``MatMul(x, Wᵀ)`` with W stored as [K,N] otherwise.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.quantize.packing import blockwise, plain
from youtu_onnx.exporters.quantize.quantizer import Quantizer

ACCURACY_LEVEL = 4
"""MatMulNBits may round activations to int8 per block: its integer kernels are what reaches memory bandwidth."""


def linear(assembly: Assembly, recipe: Recipe, target: Target, quantizer: Quantizer, *, tied: bool) -> None:
    """Rewrite every linear layer in place."""
    for node in list(assembly.graph):
        transpose = node.inputs[1].producer() if node.op_type == "MatMul" and node.inputs[1] is not None else None
        if transpose is None or transpose.op_type != "Transpose":
            continue
        name = transpose.inputs[0].name
        parameter = assembly.unpacked(name)
        if parameter is None or parameter.kind != "matrix":
            continue
        storage = recipe.storage(quantized_names(name, parameter.tensors), parameter.shape[1])
        if storage is not None:
            packing = blockwise(name, parameter, storage, assembly.dtype, quantizer, zero_points=target.zero_points)
            rows, columns = parameter.shape
            assembly.replace(
                node,
                "MatMulNBits",
                [node.inputs[0], *assembly.store(name, packing)],
                domain="com.microsoft",
                attributes={
                    "K": columns,
                    "N": rows,
                    "bits": storage.bits,
                    "block_size": storage.block_size,
                    "accuracy_level": ACCURACY_LEVEL,
                },
            )
        elif tied and name == "lm_head.weight":
            _transposed_product(assembly, node, _embedding(assembly), parameter.shape, fused=target.fused_matmul)
        else:
            [stored] = assembly.store(name, plain(name, parameter, assembly.dtype, transposed=True))
            node.replace_input_with(1, stored)
        assembly.graph.remove(transpose, safe=True)
        if name in assembly.graph.initializers and not assembly.graph.initializers[name].uses():
            del assembly.graph.initializers[name]


def _transposed_product(assembly: Assembly, node: ir.Node, matrix: ir.Value, shape: tuple[int, ...], *, fused: bool) -> None:
    """``x [B,S,K] @ matrixᵀ``, matrix [N,K]."""
    x, (rows, columns) = node.inputs[0], shape
    if fused:
        assembly.replace(node, "FusedMatMul", [x, matrix], domain="com.microsoft", attributes={"transB": 1})
        return

    def op(kind: str, inputs: list[ir.Value | None], what: str, **attributes: int) -> ir.Value:
        return assembly.insert_before(node, kind, inputs, f"lm_head.{what}", attributes=attributes).outputs[0]

    flat = op("Reshape", [x, assembly.constant("lm_head.flat_shape", np.array([-1, columns], np.int64))], "flat")
    product = op("Gemm", [flat, matrix], "product", transB=1)
    sizes = op(
        "Concat",
        [op("Shape", [x], "sizes", start=0, end=2), assembly.constant("lm_head.vocabulary", np.array([rows], np.int64))],
        "shape",
        axis=0,
    )
    assembly.replace(node, "Reshape", [product, sizes])


def quantized_names(name: str, tensors: tuple[str, ...]) -> tuple[str, ...]:
    """Names under which a recipe's exceptions may call a matrix: the graph's own and those of its sources."""
    return (name, *tensors)


def _embedding(assembly: Assembly) -> ir.Value:
    name = "model.embed_tokens.weight"
    if name not in assembly.packings:
        assembly.store(name, plain(name, assembly.parameters[name], assembly.dtype))
    return assembly.graph.initializers[name]
