"""``Linear``: MatMulNBits, with what stands before and behind it in a decoder layer::

x ─ [a range of columns] ─ [RMSNormalization] ─ MatMulNBits ─ [+ bias] ─ [· SiLU of its first half | + residual] ─ y
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto

from youtu_onnx.core.batch_graph import SLOT_IDS
from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.runtimes.native.graph import Graph, attributes

NORMS = ("RMSNormalization", "SimplifiedLayerNormalization")
BLOCKS = (16, 32, 64, 128, 256)
IN_INTEGERS = 4
"""MatMulNBits' accuracy level for which activations are bytes; with another, sums of floats are asked for."""


@dataclass(frozen=True)
class _Made:
    """A value, the node that makes it, and what of Linear's inputs and attributes says so."""

    value: str
    last: NodeProto
    bias: str = ""
    residual: str = ""
    gated: bool = False


def replace_products(graph: Graph) -> None:
    """All products that the operator can compute. In a batch graph it is told which rows are slots': what becomes of a row must
    not depend on those beside it."""
    for node in graph.nodes:
        if node.op_type == "MatMulNBits" and node.domain == MICROSOFT:
            _replace(graph, node)


def _replace(graph: Graph, node: NodeProto) -> None:
    known = attributes(node)
    x, codes, scales, zero_points, order, bias = (*node.input, *[""] * 6)[:6]
    computable = known.get("accuracy_level") == IN_INTEGERS and known.get("bits", 4) in (4, 8) and known["block_size"] in BLOCKS
    if not computable or order or not graph.is_float(scales) or graph.shape(codes) is None:
        return
    if zero_points and graph.shape(zero_points) is None:
        return
    gain, epsilon = "", 0.0
    norm = graph.producer(x, *NORMS)
    if norm is not None and graph.consumer(x, "MatMulNBits") and graph.shape(norm.input[1]) == (known["K"],):
        x, gain, epsilon = norm.input[0], norm.input[1], attributes(norm).get("epsilon", 1e-5)
    x, offset = _columns(graph, x)
    made = _behind(graph, node, bias, known["N"])
    slots = [SLOT_IDS] if graph.input_type(SLOT_IDS) is not None else []
    graph.replace(
        made.last,
        "Linear",
        [x, codes, scales, zero_points, made.bias, gain, made.residual, *slots],
        [made.value],
        {
            "K": known["K"],
            "N": known["N"],
            "bits": known.get("bits", 4),
            "block_size": known["block_size"],
            "offset": offset,
            "epsilon": epsilon,
            "gated": int(made.gated),
        },
    )


def _columns(graph: Graph, x: str) -> tuple[str, int]:
    """What a value is cut from, and from which column on."""
    split = graph.producer(x, "Split")
    if split is None or len(split.input) < 2 or attributes(split).get("axis") not in (2, -1):
        return x, 0
    sizes = graph.integers(split.input[1])
    if sizes is None:
        return x, 0
    return split.input[0], sum(sizes[: list(split.output).index(x)])


def _behind(graph: Graph, node: NodeProto, bias: str, rows: int) -> _Made:
    value, last = node.output[0], node
    added = graph.consumer(value, "Add")
    if added is not None and not bias:
        other = _other(added, value)
        if graph.shape(other) == (rows,) and graph.is_float(other):
            bias, value, last = other, added.output[0], added
            added = graph.consumer(value, "Add")
    halves = graph.consumer(value, "Split")
    if halves is not None and len(halves.output) == 2 and attributes(halves).get("axis") in (2, -1) and len(halves.input) == 1:
        gate, up = halves.output
        silu, times = graph.consumer(gate, "QuickGelu"), graph.consumer(up, "Mul")
        if (
            silu is not None
            and times is not None
            and attributes(silu).get("alpha") == 1.0
            and _other(times, up) == silu.output[0]
        ):
            return _Made(times.output[0], times, bias, gated=True)
    if added is not None:
        other = _other(added, value)
        if graph.shape(other) is None and other != value:
            return _Made(added.output[0], added, bias, residual=other)
    return _Made(value, last, bias)


def _other(node: NodeProto, value: str) -> str:
    """The other of a node's two inputs."""
    first, second = node.input
    return str(second if first == value else first)
