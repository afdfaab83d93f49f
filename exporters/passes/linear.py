"""Linear layers in the form that the recipe asks for.

``MatMul(x, Transpose(W))``, W a matrix [N,K], becomes

- ``MatMulNBits(x, B, scales, zero_points?)`` where the recipe quantizes W (com.microsoft, opset 1); of ``Gather(x, order)`` where
  the checkpoint has W in groups of columns that lie apart;
- ``FusedMatMul(x, W, transB=1)`` for a float head whose W is the embedding too: one copy serves both. Where that isn't to be
  had, ``Gemm(x, W, transB=1)``, of two dimensions, between Reshapes;
- ``MatMul(x, Wᵀ)`` with W stored as [K,N] otherwise.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.calibration import Calibration
from youtu_onnx.exporters.prequantized.choice import Choice
from youtu_onnx.exporters.quantize.packing import blockwise, plain

ACCURACY_LEVEL = 4
"""MatMulNBits may round activations to int8 per block: its integer kernels are what reaches memory bandwidth."""


def linear(
    assembly: Assembly,
    recipe: Recipe,
    target: Target,
    choice: Choice,
    *,
    tied: bool,
    calibration: Calibration | None = None,
) -> None:
    """Rewrite every linear layer in place. ``calibration``: knows matrices' inputs, where these matter."""
    for node in list(assembly.graph):
        transpose = node.inputs[1].producer() if node.op_type == "MatMul" and node.inputs[1] is not None else None
        matrix = transpose.inputs[0] if transpose is not None and transpose.op_type == "Transpose" else None
        name = matrix.name if matrix is not None else None
        parameter = assembly.unpacked(name) if name is not None else None
        if transpose is None or name is None or parameter is None or parameter.kind != "matrix":
            continue
        names = quantized_names(name, parameter.tensors)
        wanted = recipe.storage(names, parameter.shape[1], even_at_8_bits=target.even_at_8_bits)
        if wanted is not None:
            chosen = choice.of(name, wanted)
            storage = chosen.storage
            asked = calibration if chosen.measured else None
            packing = blockwise(
                name,
                parameter,
                storage,
                assembly.dtype,
                chosen.quantizer,
                zero_points=target.zero_points,
                statistics=asked.inputs if asked else lambda _: None,
                rounded=asked.rounded if asked and asked.drifts else None,
            )
            rows, columns = parameter.shape
            attributes = {
                "K": columns,
                "N": rows,
                "bits": storage.bits,
                "block_size": storage.block_size,
                "accuracy_level": ACCURACY_LEVEL,
            }
            inputs = [_in_order(assembly, node, name, chosen.order), *assembly.store(name, packing)]
            assembly.builder.replace(node, "MatMulNBits", inputs, attributes, domain=MICROSOFT)
        elif tied and name == "lm_head.weight":
            _transposed_product(assembly, node, _embedding(assembly), parameter.shape, fused=target.fused_matmul)
        else:
            [stored] = assembly.store(name, plain(name, parameter, assembly.dtype, transposed=True))
            node.replace_input_with(1, stored)
        assembly.graph.remove(transpose, safe=True)
        if name in assembly.graph.initializers and not assembly.graph.initializers[name].uses():
            del assembly.graph.initializers[name]


def _in_order(assembly: Assembly, node: ir.Node, name: str, order: tuple[int, ...] | None) -> ir.Value | None:
    """What the matrix is multiplied with, in the order of its columns."""
    if order is None:
        return node.inputs[0]
    here = assembly.builder.at(node)
    columns = here.constant(f"{name}_columns", np.array(order, np.int32))
    return here.op("Gather", [node.inputs[0], columns], f"{name}_inputs", {"axis": -1})


def _transposed_product(assembly: Assembly, node: ir.Node, matrix: ir.Value, shape: tuple[int, ...], *, fused: bool) -> None:
    """``x [B,S,K] @ matrixᵀ``, matrix [N,K]."""
    x, (rows, columns) = node.inputs[0], shape
    if fused:
        assembly.builder.replace(node, "FusedMatMul", [x, matrix], {"transB": 1}, domain=MICROSOFT)
        return
    here = assembly.builder.at(node)
    flat = here.op("Reshape", [x, here.integers("lm_head.flat_shape", -1, columns)], "lm_head.flat")
    product = here.op("Gemm", [flat, matrix], "lm_head.product", {"transB": 1})
    sizes = here.op("Shape", [x], "lm_head.sizes", {"start": 0, "end": 2})
    shape_of_all = here.op("Concat", [sizes, here.integers("lm_head.vocabulary", rows)], "lm_head.shape", {"axis": 0})
    here.replace(node, "Reshape", [product, shape_of_all])


def quantized_names(name: str, tensors: tuple[str, ...]) -> tuple[str, ...]:
    """Names under which a recipe's exceptions may call a matrix: the graph's own and those of its sources."""
    return (name, *tensors)


def _embedding(assembly: Assembly) -> ir.Value:
    name = "model.embed_tokens.weight"
    if name not in assembly.packings:
        assembly.store(name, plain(name, assembly.parameters[name], assembly.dtype))
    return assembly.graph.initializers[name]
