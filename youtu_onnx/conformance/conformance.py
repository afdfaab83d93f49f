"""Where a provider would run each node of a graph, read from the graph alone: no device, and nothing is run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from youtu_onnx.conformance.host import SIZES, excuse
from youtu_onnx.conformance.table import Elsewhere, Table
from youtu_onnx.core.domains import MICROSOFT

if TYPE_CHECKING:
    import onnx_ir as ir

SHAPES = ("Shape", "Size")
FOLLOWS_SHAPES = ("Gather", "Slice", "Squeeze", "Unsqueeze", "Concat", "Cast", "Add", "Sub", "Mul", "Div", "Range", "Min", "Max")
"""Operators that ONNX Runtime leaves to the CPU where they compute with sizes, since these are there already."""
RESHAPES = {"Reshape": 1, "Expand": 1, "Slice": 1}
"""Operators with an operand that says a shape, and where it is. It is read on the CPU: computed on the device it comes back."""


@dataclass(frozen=True)
class Placement:
    """One node. ``where``: ``provider``; ``cpu``, to which it would fall; ``wrong``, where it would give wrong numbers;
    ``nowhere``, where the graph would not open. ``of_sizes``: it computes with sizes only."""

    node: str
    operator: str
    where: Literal["provider"] | Elsewhere
    reason: str = ""
    of_sizes: bool = False


@dataclass(frozen=True)
class Conformance:
    """All nodes of a graph on one provider."""

    table: Table
    placements: tuple[Placement, ...]

    @property
    def on_provider(self) -> int:
        return sum(one.where == "provider" for one in self.placements)

    @property
    def faults(self) -> tuple[Placement, ...]:
        """Nodes that the provider doesn't take: all elsewhere but those on the CPU that may be there."""

        def allowed(one: Placement) -> bool:
            reason = excuse(self.table.may_leave, one.operator, one.node)
            return one.where == "cpu" and reason is not None and (one.of_sizes or reason != SIZES)

        return tuple(one for one in self.placements if one.where != "provider" and not allowed(one))

    def summary(self) -> list[str]:
        """A line for each operator that isn't on the provider, with its reason and how often."""
        counted = Counter((one.operator, one.where, one.reason) for one in self.placements if one.where != "provider")
        return [
            f"{count} × {operator}: {'wrong: ' if where == 'wrong' else ''}{reason}"
            for (operator, where, reason), count in counted.most_common()
        ]


def conformance(model: ir.Model, table: Table) -> Conformance:
    """Place every node of ``model``, those in branches included."""
    opset = model.graph.opset_imports.get("", 0)
    computed_sizes: set[int] = set()  # ids of values that are sizes, or computed from sizes only
    return Conformance(table, tuple(_place(node, opset, table, computed_sizes) for node in model.graph.all_nodes()))


def _place(node: ir.Node, opset: int, table: Table, sizes: set[int]) -> Placement:
    def placed(where: Literal["provider"] | Elsewhere, reason: str = "") -> Placement:
        return Placement(node.name or "", node.op_type, where, reason)

    elsewhere: Elsewhere = "nowhere" if table.alone else "cpu"

    if node.op_type in table.never:
        return placed(*table.never[node.op_type])
    of_sizes = node.op_type in FOLLOWS_SHAPES and _computes_sizes(node, sizes)
    if node.op_type in SHAPES or of_sizes:
        sizes.update(id(value) for value in node.outputs)
        if of_sizes and not table.alone:
            return Placement(node.name or "", node.op_type, "cpu", "computes with sizes, which the CPU has", of_sizes=True)
    kernel = table.kernels.get((node.domain if node.domain == MICROSOFT else "", node.op_type))
    if kernel is None:
        return placed(elsewhere, "has no kernel")
    if node.domain != MICROSOFT and (since := _since(node.op_type, opset)) and since not in kernel.since:
        return placed(elsewhere, f"has no kernel of version {since}, which opset {opset} asks for")
    for position, types in kernel.inputs.items():
        found = _type(node.inputs[position]) if position < len(node.inputs) else None
        if found is not None and found not in types:
            return placed(elsewhere, f"has no kernel for {found.lower()}")
    shape = RESHAPES.get(node.op_type)
    value = None if shape is None else node.inputs[shape]
    if value is not None and value.producer() is not None and id(value) not in sizes and not table.alone:
        return placed("cpu", "its shape is computed")
    trapped = table.traps(node)
    return placed(*trapped) if trapped else placed("provider")


def _computes_sizes(node: ir.Node, sizes: set[int]) -> bool:
    """Whether all operands are sizes or constants, and one of them is a size."""
    producers = [value for value in node.inputs if value is not None and value.producer() is not None]
    return (
        bool(producers)
        and all(id(value) in sizes for value in producers)
        and not any(value is not None and value.is_graph_input() for value in node.inputs)
    )


def _since(operator: str, opset: int) -> int | None:
    """The version in which ONNX's operator last changed; None for operators that ONNX doesn't have."""
    import onnx

    try:
        return int(onnx.defs.get_schema(operator, opset).since_version)
    except onnx.defs.SchemaError:
        return None


def _type(value: ir.Value | None) -> str | None:
    return None if value is None or value.dtype is None else value.dtype.name
