"""Graphs of one node, to be offered to a provider: for each operator of its table, version and type, whether it takes it.

A table (``youtu_onnx/conformance``) says which versions of an operator have a kernel and which types an operand may have. What
it says is compared in both directions: an offer that it doesn't list has to be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from youtu_onnx.conformance import Table
from youtu_onnx.conformance.table import FLOATS
from youtu_onnx.core.domains import MICROSOFT

OPSETS = range(18, 24)
"""Of the graphs that this project writes."""
TYPES = ("FLOAT", "FLOAT16", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL")
FLOAT, INT8, INT64, UINT8, BOOL = (TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL)
VARIED = {"Where": 1, ".GatherBlockQuantized": 2, ".MatMulIntegerToFloat": 2}
"""The operand whose type is varied, where it isn't the first."""


class Parts:
    """Inputs and constants of a graph, collected while its node's operands are named. ``element``: the type that is varied."""

    def __init__(self, element: int) -> None:
        self.element, self.number = element, helper.tensor_dtype_to_np_dtype(element)
        self.inputs: dict[str, onnx.ValueInfoProto] = {}
        self.constants: list[onnx.TensorProto] = []

    @property
    def x(self) -> str:
        return self.input("x", "a", 64)

    def input(self, name: str, *shape: int | str, element: int | None = None) -> str:
        self.inputs[name] = helper.make_tensor_value_info(name, element or self.element, shape)
        return name

    def typed(self, value: int, *shape: int) -> str:
        """A constant of the type that is varied."""
        return self.constant(np.full(shape, value, self.number))

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values))

    def zeros(self, *shape: int) -> str:
        return self.constant(np.zeros(shape, np.uint8))

    def constant(self, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, f"k{len(self.constants)}"))
        return self.constants[-1].name


Node = tuple[list[str], dict[str, Any]]
"""Operands and attributes."""
Make = Callable[[Parts], Node]


def _each(names: str, make: Make) -> dict[str, Make]:
    return dict.fromkeys(names.split(), make)


def _if(p: Parts) -> Node:
    constant = helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(np.ones(2, np.float32)))
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("b", FLOAT, [2])])
    return [p.input("x")], {"then_branch": branch, "else_branch": branch}


def _rotary(p: Parts) -> Node:
    angles = p.input("c", "a", "s", 8)
    return [p.input("x", "a", 2, "s", 16), angles, angles], {}


def _skip(p: Parts) -> Node:
    rows = p.input("rows", "b", "a", 64)
    return [rows, rows, p.typed(1, 64)], {}


# com.microsoft's, and SimplifiedLayerNormalization, which ONNX hasn't either: floats are offered only
UNKNOWN_TO_ONNX: dict[str, Make] = {
    "SimplifiedLayerNormalization": lambda p: ([p.x, p.typed(1, 64)], {"axis": -1}),
    ".SkipSimplifiedLayerNormalization": _skip,
    **_each(".QuickGelu .Gelu", lambda p: ([p.x], {})),
    ".FusedMatMul": lambda p: ([p.x, p.input("w", 8, 64)], {"transB": 1}),
    ".MatMulIntegerToFloat": lambda p: (
        [p.input("x", "a", 64, element=UINT8), p.input("w", 64, 8, element=INT8), p.input("s"), p.typed(1, 8)],
        {},
    ),
    ".MatMulNBits": lambda p: (
        [p.x, p.zeros(8, 2, 16), p.typed(1, 16), p.zeros(8)],
        {"K": 64, "N": 8, "bits": 4, "block_size": 32, "accuracy_level": 4},
    ),
    ".GatherBlockQuantized": lambda p: (
        [p.zeros(8, 32), p.input("x", "a", element=INT64), p.typed(1, 8, 2), p.zeros(8, 1)],
        {"bits": 4, "block_size": 32, "gather_axis": 0, "quantize_axis": 1},
    ),
    ".RotaryEmbedding": lambda p: (
        [p.input("x", "a", "s", 64), p.input("p", "a", "s", element=INT64), p.typed(1, 16, 8), p.typed(1, 16, 8)],
        {"num_heads": 4, "rotary_embedding_dim": 16},
    ),
}
TRIED: dict[str, Make] = {
    **_each("Add Sub Mul Div Max Min Pow And Or Xor BitwiseAnd BitwiseOr BitwiseXor", lambda p: ([p.x, p.x], {})),
    **_each("Equal Greater Less GreaterOrEqual LessOrEqual", lambda p: ([p.x, p.x], {})),
    "Mod": lambda p: ([p.x, p.x], {"fmod": int(np.issubdtype(p.number, np.floating))}),
    **_each(
        "Abs Ceil Cos Erf Exp Floor Identity Log Neg Not Reciprocal Round Shape Sigmoid Sin Size Sqrt Tanh Trilu",
        lambda p: ([p.x], {}),
    ),
    "Cast": lambda p: ([p.x], {"to": TensorProto.FLOAT16 if p.element == FLOAT else FLOAT}),
    "Clip": lambda p: ([p.x, p.typed(0), p.typed(1)], {}),
    "Compress": lambda p: ([p.x, p.input("c", "n", element=BOOL)], {"axis": 0}),
    "Concat": lambda p: ([p.x, p.x], {"axis": 0}),
    "CumSum": lambda p: ([p.x, p.constant(np.array(1))], {}),
    "Expand": lambda p: ([p.x, p.whole(2, 1, 64)], {}),
    "Gather": lambda p: ([p.input("x", 8, 64), p.input("i", "a", element=INT64)], {}),
    "GatherElements": lambda p: ([p.input("x", 8, 64), p.input("i", "a", 64, element=INT64)], {}),
    "Gemm": lambda p: ([p.x, p.input("w", 8, 64)], {"transB": 1}),
    "If": _if,
    "MatMul": lambda p: ([p.x, p.input("w", 64, 8)], {}),
    "MatMulInteger": lambda p: ([p.x, p.input("w", 64, 8, element=INT8)], {}),
    "RMSNormalization": lambda p: ([p.x, p.typed(1, 64)], {"axis": -1}),
    "Range": lambda p: ([p.typed(0), p.input("x"), p.typed(1)], {}),
    **_each("ReduceMax ReduceMean ReduceSum Unsqueeze", lambda p: ([p.x, p.whole(1)], {})),
    "Reshape": lambda p: ([p.x, p.whole(-1, 2, 32)], {}),
    "RotaryEmbedding": _rotary,
    "ScatterND": lambda p: ([p.input("x", 8, 64), p.input("i", "n", 1, element=INT64), p.input("u", "n", 64)], {}),
    "Slice": lambda p: ([p.x, p.whole(0), p.whole(8), p.whole(1)], {}),
    "Softmax": lambda p: ([p.x], {"axis": -1}),
    "Split": lambda p: ([p.x], {"axis": 1, "num_outputs": 2}),
    "Squeeze": lambda p: ([p.input("x", "a", 1, 64), p.whole(1)], {}),
    "Transpose": lambda p: ([p.x], {"perm": [1, 0]}),
    "Where": lambda p: ([p.input("c", "a", 64, element=BOOL), p.x, p.x], {}),
    **UNKNOWN_TO_ONNX,
}
"""Operators that are offered whether a table lists them or not; com.microsoft's begin with a dot."""


@dataclass(frozen=True)
class Offer:
    """One graph. ``version``: of ONNX's operator at its opset; None for others."""

    operator: str
    version: int | None
    type: str
    model: bytes

    def __str__(self) -> str:
        return f"{self.operator}{'' if self.version is None else f'-{self.version}'} of {self.type}"

    def listed(self, table: Table) -> bool:
        """Whether the table says that the provider takes it."""
        kernel = table.kernels.get(key(self.operator))
        if kernel is None:
            return False
        types = kernel.inputs.get(VARIED.get(self.operator, 0))
        return (self.version is None or self.version in kernel.since) and (types is None or self.type in types)


def key(operator: str) -> tuple[str, str]:
    """As a table has it."""
    return (MICROSOFT, operator[1:]) if operator.startswith(".") else ("", operator)


def untried(table: Table) -> set[tuple[str, str]]:
    """What the table lists and :func:`offers` doesn't offer."""
    return set(table.kernels) - {key(operator) for operator in TRIED}


def offers() -> Iterator[Offer]:
    """Each operator at each of its versions among :data:`OPSETS`, with each type that ONNX lets it have."""
    for operator in TRIED:
        for version, opset in _versions(operator).items():
            for kind in _types(operator, opset):
                yield Offer(operator, version, kind, _model(operator, kind, opset))


def _versions(operator: str) -> dict[int | None, int]:
    """Version → an opset in which it is the operator's."""
    if operator in UNKNOWN_TO_ONNX:
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
    if operator in UNKNOWN_TO_ONNX:
        return tuple(sorted(FLOATS))
    allowed = onnx.defs.get_schema(operator, opset).inputs[VARIED.get(operator, 0)].types
    return tuple(kind for kind in TYPES if f"tensor({kind.lower()})" in allowed)


def _model(operator: str, kind: str, opset: int) -> bytes:
    parts = Parts(TensorProto.DataType.Value(kind))
    operands, attributes = TRIED[operator](parts)
    domain, name = key(operator)
    outputs = [f"y{index}" for index in range(attributes.get("num_outputs", 1))]
    graph = helper.make_graph(
        [helper.make_node(name, operands, outputs, name="n", domain=domain, **attributes)],
        "g",
        list(parts.inputs.values()),
        [helper.make_empty_tensor_value_info(one) for one in outputs],
        parts.constants,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
