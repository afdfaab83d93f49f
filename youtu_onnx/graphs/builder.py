"""The one place where nodes and constants of graphs are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Attributes = Mapping[str, int | float | str | Sequence[int]]
Dims = Sequence[int | str]


@dataclass(frozen=True)
class GraphBuilder:
    """Adds to one graph.

    Attributes:
        graph: that nodes go into: a model's, or a branch of one.
        model: the model's graph. Weights and constants are its initializers, whichever branch reads them.
        before: the node that new ones go in front of; None appends.
    """

    graph: ir.Graph
    model: ir.Graph
    before: ir.Node | None = None

    @classmethod
    def of(cls, graph: ir.Graph) -> GraphBuilder:
        """Appends to a model's graph."""
        return cls(graph, graph)

    def at(self, node: ir.Node) -> GraphBuilder:
        """Inserts in front of a node of the same graph."""
        return GraphBuilder(self.graph, self.model, node)

    def branch(self, name: str) -> GraphBuilder:
        """Appends to a new graph, for an ``If``; it takes the outer graphs' values by name."""
        return GraphBuilder(ir.Graph([], [], nodes=[], name=name), self.model)

    def add(self, node: ir.Node) -> ir.Node:
        if self.before is None:
            self.graph.append(node)
        else:
            self.graph.insert_before(self.before, node)
        return node

    def op(
        self, kind: str, inputs: Sequence[ir.Value | None], name: str, attributes: Attributes | None = None, *, domain: str = ""
    ) -> ir.Value:
        """An operator of one output, which is called ``name``; the node is called after both."""
        return self.ops(kind, inputs, [name], attributes, domain=domain)[0]

    def ops(
        self,
        kind: str,
        inputs: Sequence[ir.Value | None],
        names: Sequence[str],
        attributes: Attributes | None = None,
        *,
        domain: str = "",
    ) -> list[ir.Value]:
        """An operator of as many outputs as names."""
        outputs = [ir.Value(name=name) for name in names]
        self.add(ir.node(kind, inputs, attributes or {}, domain=domain, outputs=outputs, name=f"{names[0]}/{kind}"))
        return outputs

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None], outputs: Sequence[ir.Value]) -> ir.Node:
        """A node of another graph, with values of this one."""
        name = f"{outputs[0].name}/{node.op_type}"
        made = ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), outputs=outputs, name=name)
        return self.add(made)

    def choose(self, condition: ir.Value, then: ir.Graph, otherwise: ir.Graph, name: str) -> ir.Value:
        """An ``If`` of two graphs of one output each."""
        [chosen] = self.choose_all(condition, then, otherwise, [name])
        return chosen

    def choose_all(self, condition: ir.Value, then: ir.Graph, otherwise: ir.Graph, names: Sequence[str]) -> list[ir.Value]:
        """An ``If`` of two graphs of as many outputs as names."""
        pairs = zip(names, then.outputs, otherwise.outputs, strict=True)
        chosen = [ir.Value(name=name, shape=one.shape, type=one.type) for name, one, _ in pairs]
        branches = [ir.AttrGraph("then_branch", then), ir.AttrGraph("else_branch", otherwise)]
        self.add(ir.Node("", "If", [condition], branches, outputs=chosen, name=f"{names[0]}/If"))
        return chosen

    def replace(
        self,
        node: ir.Node,
        kind: str,
        inputs: Sequence[ir.Value | None],
        attributes: Attributes | None = None,
        *,
        domain: str = "",
    ) -> None:
        """Put another operator in a node's place; it gives the node's only output."""
        old = node.outputs[0]
        new = self.at(node).op(kind, inputs, old.name or "", attributes, domain=domain)
        new.shape, new.type = old.shape, old.type
        self.take(node, new)

    def take(self, node: ir.Node, value: ir.Value) -> None:
        """Take a value for a node's only output; the node goes."""
        node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """A small constant, kept in the graph itself; one a name."""
        found = self.model.initializers.get(name)
        if found is None:
            tensor = ir.tensor(array, name=name)
            found = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
            self.model.initializers[name] = found
        return found

    def integers(self, name: str, *numbers: int) -> ir.Value:
        """A constant of one axis, int64."""
        return self.constant(name, np.array(numbers, np.int64))

    def integer(self, name: str, number: int) -> ir.Value:
        """A constant of no axis, int64."""
        return self.constant(name, np.array(number, np.int64))

    def output(self, value: ir.Value, name: str, dtype: ir.DataType, dims: Dims) -> None:
        """Make a value an output of the graph, under this name."""
        value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(dims)
        self.graph.outputs.append(value)


def dtype_of(value: ir.Value) -> ir.DataType:
    """Of a value that has one."""
    assert value.dtype is not None, value.name
    return value.dtype


def size_of(value: ir.Value, axis: int) -> int:
    """Of a value whose size is known."""
    size = value.shape[axis] if value.shape is not None else None
    assert isinstance(size, int), value.name
    return size


def declared(name: str, dtype: ir.DataType, dims: Dims) -> ir.Value:
    """A value with a type and a shape, to be an input."""
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))
