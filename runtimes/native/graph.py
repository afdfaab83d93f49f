"""A graph that is rewritten: who makes a value, who takes it, and what is left when some nodes are replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

DOMAIN = "youtu_onnx"
"""Of the native operators."""


class Graph:
    """A model's graph. Nodes are looked up as they were; :meth:`replace` notes what takes their place, :meth:`finish` does it."""

    def __init__(self, model: ModelProto) -> None:
        self.model, self.proto = model, model.graph
        self._producers = {name: node for node in self.proto.node for name in node.output}
        self._consumers: dict[str, list[NodeProto]] = {}
        for node in self.proto.node:
            for name in taken(node):
                self._consumers.setdefault(name, []).append(node)
        self._outputs = {one.name for one in self.proto.output}
        self._initializers = {one.name: one for one in self.proto.initializer}
        self._types = {one.name: one.type.tensor_type.elem_type for one in self.proto.input}
        self._replaced: dict[str, NodeProto] = {}
        self.made: Counter[str] = Counter()

    @property
    def nodes(self) -> list[NodeProto]:
        return list(self.proto.node)

    def producer(self, value: str, *operators: str) -> NodeProto | None:
        """The node that makes a value, if it is one of these operators."""
        node = self._producers.get(value)
        return node if node is not None and node.op_type in operators else None

    def consumer(self, value: str, *operators: str) -> NodeProto | None:
        """The only node that takes a value, if it is one of these operators; None where it is an output of the graph, too."""
        takers = self._consumers.get(value, [])
        alone = len(takers) == 1 and value not in self._outputs
        return takers[0] if alone and takers[0].op_type in operators else None

    def shape(self, initializer: str) -> tuple[int, ...] | None:
        """Of a constant."""
        found = self._initializers.get(initializer)
        return None if found is None else tuple(found.dims)

    def is_float(self, initializer: str) -> bool:
        """Whether it is a constant of float32."""
        found = self._initializers.get(initializer)
        return found is not None and found.data_type == TensorProto.FLOAT

    def integers(self, initializer: str) -> list[int] | None:
        """A small constant's numbers."""
        found = self._initializers.get(initializer)
        if found is None or found.data_location == TensorProto.EXTERNAL or found.data_type != TensorProto.INT64:
            return None
        return [int(one) for one in numpy_helper.to_array(found).reshape(-1)]

    def input_type(self, name: str) -> int | None:
        """The element type of an input of the graph."""
        return self._types.get(name)

    def size(self, name: str, axis: int) -> int:
        """Of an input of the graph, along an axis where it is a number; else 0."""
        for one in self.proto.input:
            if one.name == name and axis < len(one.type.tensor_type.shape.dim):
                return int(one.type.tensor_type.shape.dim[axis].dim_value)
        return 0

    def touched(self, prefix: str, known: Iterable[str]) -> bool:
        """Whether a node takes a value whose name begins so and that isn't one of those that are known."""
        return any(name.startswith(prefix) for name in self._consumers.keys() - set(known) - self._producers.keys())

    def replace(
        self, last: NodeProto, operator: str, inputs: list[str], outputs: list[str], attributes: Mapping[str, Any]
    ) -> None:
        """Put an operator of ours where ``last`` is; what nobody takes any more goes by itself."""
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        node = helper.make_node(operator, inputs, outputs, name=last.name, domain=DOMAIN, **attributes)
        for name in outputs:
            self._replaced[name] = node
        self.made[operator] += 1

    def finish(self) -> None:
        """Replace, and drop nodes and constants that nothing needs."""
        wanted, kept = set(self._outputs), list[NodeProto]()
        placed = set[int]()
        # From the back: a node is kept where something behind it takes what it makes.
        order = [self._replaced.get(node.output[0], node) for node in self.proto.node]
        for node in reversed(order):
            if id(node) in placed or not wanted.intersection(node.output):
                continue
            placed.add(id(node))
            kept.append(node)
            wanted.update(taken(node))
        copies = [NodeProto.FromString(node.SerializeToString()) for node in _sorted(reversed(kept))]
        del self.proto.node[:]
        self.proto.node.extend(copies)
        constants = [TensorProto.FromString(one.SerializeToString()) for one in self.proto.initializer if one.name in wanted]
        del self.proto.initializer[:]
        self.proto.initializer.extend(constants)
        self.model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def attributes(node: NodeProto) -> dict[str, Any]:
    """All but graphs."""
    return {one.name: helper.get_attribute_value(one) for one in node.attribute if one.type != AttributeProto.GRAPH}


def taken(node: NodeProto) -> set[str]:
    """What a node takes, and graphs within it from around them."""
    found = {name for name in node.input if name}
    for graph in (one.g for one in node.attribute if one.type == AttributeProto.GRAPH):
        made = {name for one in graph.node for name in one.output} | {one.name for one in (*graph.initializer, *graph.input)}
        found |= {name for one in graph.node for name in taken(one)} - made
        found |= {one.name for one in graph.output} - made
    return found


def _sorted(nodes: Iterable[NodeProto]) -> list[NodeProto]:
    """So that each node comes behind those whose values it takes: one that stands for several may have been put too early."""
    waiting, made = list(nodes), set[str]()
    own = {name for node in waiting for name in node.output}
    order: list[NodeProto] = []
    while waiting:
        later = []
        for node in waiting:
            if taken(node) & own <= made:
                order.append(node)
                made.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ValueError("the graph's nodes wait for each other")
        waiting = later
    return order
