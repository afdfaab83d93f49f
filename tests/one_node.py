"""Graphs of one node, to be offered to a provider: for each operator of its table, version and type, whether it takes it.

A table (``youtu_onnx/conformance``) says which versions of an operator have a kernel and which types an operand may have. What
it says is compared in both directions: an offer that it doesn't list has to be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from youtu_onnx.conformance import Table
from youtu_onnx.conformance.table import FLOATS, MICROSOFT, Kernel

OPSETS = range(18, 24)
"""Of the graphs that this project writes."""
TYPES = ("FLOAT", "FLOAT16", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL")
BINARY = ("Add Sub Mul Div Max Min Mod Pow And Or Xor BitwiseAnd BitwiseOr BitwiseXor Equal Greater Less GreaterOrEqual "
          "LessOrEqual").split()
UNARY = ("Abs Ceil Cos Erf Exp Floor Identity Log Neg Not Reciprocal Round Shape Sigmoid Sin Size Sqrt Tanh "
         "SimplifiedLayerNormalization RMSNormalization .QuickGelu .Gelu").split()
TRIED = (*BINARY, *UNARY, *("Cast Clip Concat CumSum Expand Gather GatherElements Gemm If MatMul MatMulInteger Range ReduceMax "
                            "ReduceMean ReduceSum Reshape RotaryEmbedding ScatterND Slice Softmax Split Squeeze Transpose Trilu "
                            "Unsqueeze Where .FusedMatMul .GatherBlockQuantized .MatMulIntegerToFloat .MatMulNBits "
                            ".RotaryEmbedding .SkipSimplifiedLayerNormalization").split())
"""Operators that are offered whether a table lists them or not; com.microsoft's begin with a dot."""
FLOAT_ONLY = {"SimplifiedLayerNormalization", ".QuickGelu", ".Gelu", ".FusedMatMul", ".MatMulNBits", ".RotaryEmbedding",
              ".SkipSimplifiedLayerNormalization", ".GatherBlockQuantized", ".MatMulIntegerToFloat"}
"""Operators without a schema in ``onnx``. Only the types of floats are offered."""
VARIED = {"Where": 1, ".GatherBlockQuantized": 2, ".MatMulIntegerToFloat": 2}
"""The operand whose type is varied, where it isn't the first."""


@dataclass(frozen=True)
class Offer:
    """One graph. ``version``: of ONNX's operator at ``opset``; None for others."""

    operator: str
    version: int | None
    opset: int
    type: str
    model: bytes

    def __str__(self) -> str:
        return f"{self.operator}{'' if self.version is None else f'-{self.version}'} of {self.type}"

    @property
    def key(self) -> tuple[str, str]:
        """As a table has it."""
        return (MICROSOFT, self.operator[1:]) if self.operator.startswith(".") else ("", self.operator)

    def listed(self, table: Table) -> bool:
        """Whether the table says that the provider takes it."""
        kernel: Kernel | None = table.kernels.get(self.key)
        if kernel is None:
            return False
        types = kernel.inputs.get(VARIED.get(self.operator, 0))
        return (self.version is None or self.version in kernel.since) and (types is None or self.type in types)


def offers() -> Iterator[Offer]:
    """Each operator at each of its versions among :data:`OPSETS`, with each type that ONNX lets it have."""
    for operator in TRIED:
        for version, opset in _versions(operator).items():
            for kind in _types(operator, opset):
                yield Offer(operator, version, opset, kind, _model(operator, kind, opset))


def _versions(operator: str) -> dict[int | None, int]:
    """Version → an opset in which it is the operator's."""
    if operator in FLOAT_ONLY:
        return {None: OPSETS[0]}
    found: dict[int | None, int] = {}
    for opset in OPSETS:
        try:
            found.setdefault(onnx.defs.get_schema(operator, opset).since_version, opset)
        except onnx.defs.SchemaError:  # not there yet
            continue
    assert found, f"ONNX has no {operator}"
    return found


def _types(operator: str, opset: int) -> tuple[str, ...]:
    if operator in FLOAT_ONLY:
        return tuple(sorted(FLOATS))
    allowed = onnx.defs.get_schema(operator, opset).inputs[VARIED.get(operator, 0)].types
    return tuple(kind for kind in TYPES if f"tensor({kind.lower()})" in allowed)


def _model(operator: str, kind: str, opset: int) -> bytes:
    """``operator`` with its typed operand of ``kind``, the others as they have to be."""
    element = TensorProto.DataType.Value(kind)
    number = helper.tensor_dtype_to_np_dtype(element)
    graph = _Graph(element)
    x = graph.input("x", ["a", 64])
    name = operator.removeprefix(".")
    attributes: dict[str, object] = {}
    operands = [x]
    if operator in BINARY:
        operands = [x, x]
        attributes = {"fmod": 1} if name == "Mod" and kind in ("FLOAT", "FLOAT16", "DOUBLE") else {}
    elif operator == "Cast":
        attributes = {"to": TensorProto.FLOAT if kind != "FLOAT" else TensorProto.FLOAT16}
    elif operator in ("SimplifiedLayerNormalization", "RMSNormalization"):
        operands, attributes = [x, graph.constant(np.ones(64, number))], {"axis": -1}
    elif operator == ".SkipSimplifiedLayerNormalization":
        rows = graph.input("rows", ["b", "a", 64])
        operands = [rows, rows, graph.constant(np.ones(64, number))]
    elif operator == "Clip":
        operands = [x, graph.constant(np.array(0, number)), graph.constant(np.array(1, number))]
    elif operator == "Concat":
        operands, attributes = [x, x], {"axis": 0}
    elif operator in ("CumSum", "Squeeze", "Unsqueeze", "ReduceMax", "ReduceMean", "ReduceSum"):
        x = graph.input("x", ["a", 1, 64]) if operator == "Squeeze" else x
        operands = [x, graph.constant(np.array([1] if operator != "CumSum" else 1))]
    elif operator in ("Expand", "Reshape"):
        operands = [x, graph.constant(np.array([2, 1, 64] if operator == "Expand" else [-1, 2, 32]))]
    elif operator in ("Gather", "GatherElements"):
        indices = graph.input("i", ["a"] if operator == "Gather" else ["a", 64], TensorProto.INT64)
        operands = [graph.input("x", [8, 64]), indices]
    elif operator in ("Gemm", ".FusedMatMul"):
        operands, attributes = [x, graph.input("w", [8, 64])], {"transB": 1}
    elif operator == "MatMul":
        operands = [x, graph.input("w", [64, 8])]
    elif operator in ("MatMulInteger", ".MatMulIntegerToFloat"):
        left = x if operator == "MatMulInteger" else graph.input("x", ["a", 64], TensorProto.UINT8)
        operands = [left, graph.input("w", [64, 8], TensorProto.INT8)]
        if operator == ".MatMulIntegerToFloat":
            operands += [graph.input("s", []), graph.constant(np.ones(8, number))]
    elif operator == "Range":
        operands = [graph.constant(np.array(0, number)), graph.input("x", []), graph.constant(np.array(1, number))]
    elif operator == "RotaryEmbedding":
        angles = graph.input("c", ["a", "s", 8])
        operands = [graph.input("x", ["a", 2, "s", 16]), angles, angles]
    elif operator == ".RotaryEmbedding":
        table = graph.constant(np.ones((16, 8), number))
        operands = [graph.input("x", ["a", "s", 64]), graph.input("p", ["a", "s"], TensorProto.INT64), table, table]
        attributes = {"num_heads": 4, "rotary_embedding_dim": 16}
    elif operator == "ScatterND":
        operands = [graph.input("x", [8, 64]), graph.input("i", ["n", 1], TensorProto.INT64), graph.input("u", ["n", 64])]
    elif operator == "Slice":
        operands = [x, *(graph.constant(np.array([number])) for number in (0, 8, 1))]
    elif operator == "Where":
        operands = [graph.input("c", ["a", 64], TensorProto.BOOL), x, x]
    elif operator == "Split":
        attributes = {"axis": 1, "num_outputs": 2}
    elif operator in ("Softmax", "Transpose"):
        attributes = {"axis": -1} if operator == "Softmax" else {"perm": [1, 0]}
    elif operator == "If":
        branch = helper.make_graph([helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(np.ones(2, np.float32)))],
                                   "branch", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])])
        operands, attributes = [graph.input("x", [])], {"then_branch": branch, "else_branch": branch}
    elif operator == ".MatMulNBits":
        operands = [x, *graph.quantized(8, 64, number, blocks=2)]
        attributes = {"K": 64, "N": 8, "bits": 4, "block_size": 32, "accuracy_level": 4}
    elif operator == ".GatherBlockQuantized":
        values, scales, zero_points = graph.quantized(8, 64, number, blocks=0)
        operands = [values, graph.input("x", ["a"], TensorProto.INT64), scales, zero_points]
        attributes = {"bits": 4, "block_size": 32, "gather_axis": 0, "quantize_axis": 1}
    outputs = ["y", "z"] if operator == "Split" else ["y"]
    node = helper.make_node(name, operands, outputs, name="n", domain=MICROSOFT if operator.startswith(".") else "", **attributes)
    return graph.model(node, opset)


class _Graph:
    """Inputs and constants of a graph, collected while its node's operands are named."""

    def __init__(self, element: int) -> None:
        self.element = element
        self.inputs: dict[str, onnx.ValueInfoProto] = {}
        self.constants: list[onnx.TensorProto] = []

    def input(self, name: str, shape: list[int | str], element: int | None = None) -> str:
        self.inputs[name] = helper.make_tensor_value_info(name, element or self.element, shape)
        return name

    def constant(self, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, f"k{len(self.constants)}"))
        return self.constants[-1].name

    def quantized(self, rows: int, columns: int, number: np.dtype, *, blocks: int) -> tuple[str, str, str]:
        """int4 values in blocks of 32, their scales and zero points; of three dimensions with ``blocks``, else of two."""
        groups = columns // 32
        values = np.zeros((rows, blocks, 16) if blocks else (rows, columns // 2), np.uint8)
        scales = np.ones(rows * groups if blocks else (rows, groups), number)
        zeros = np.zeros(rows * groups // 2 if blocks else (rows, groups // 2), np.uint8)
        return self.constant(values), self.constant(scales), self.constant(zeros)

    def model(self, node: onnx.NodeProto, opset: int) -> bytes:
        used = [value for name, value in self.inputs.items() if name in node.input]
        graph = helper.make_graph([node], "g", used, [helper.make_empty_tensor_value_info(name) for name in node.output],
                                  self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
