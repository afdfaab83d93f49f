"""Traced parts put together into a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir


def append(
    part: ir.Model, graph: ir.Graph, weights: dict[str, ir.Value], prefix: str, kind: str, inputs: list[ir.Value], scope: str = ""
) -> list[ir.Value]:
    """Append a part's nodes to ``graph`` with prefixed names, fed with ``inputs``; returns its outputs.

    The part's small constants (those with data) are named after its ``kind`` and shared by all copies; its weights are not.
    ``scope`` goes behind the names of free axes: ONNX Runtime gives tensors with equal names of axes the same memory, so copies
    whose lengths differ need names of their own.
    """
    values: dict[ir.Value, ir.Value] = dict(zip(part.graph.inputs, inputs, strict=True))
    for name, value in part.graph.initializers.items():
        own = f"{kind}{name}" if value.const_value is not None else f"{prefix}{name}"
        if own not in weights:
            weights[own] = ir.Value(name=own, shape=value.shape, type=value.type, const_value=value.const_value)
        values[value] = weights[own]
    for node in part.graph:
        outputs = [ir.Value(name=f"{prefix}{kind}{o.name}", shape=_scoped(o.shape, scope), type=o.type) for o in node.outputs]
        values.update(zip(node.outputs, outputs, strict=True))
        graph.append(
            ir.Node(
                node.domain,
                node.op_type,
                [None if i is None else values[i] for i in node.inputs],
                node.attributes.values(),
                outputs=outputs,
                name=f"{outputs[0].name}/{node.op_type}",
            )
        )
    return [values[output] for output in part.graph.outputs]


def _scoped(shape: ir.Shape | None, scope: str) -> ir.Shape | None:
    if shape is None or not scope:
        return shape
    return ir.Shape([dim if isinstance(dim, int) else f"{dim}_{scope}" for dim in shape])


def branch(
    part: ir.Model, weights: dict[str, ir.Value], prefix: str, kind: str, inputs: list[ir.Value], scope: str = ""
) -> ir.Graph:
    """A part as one branch of an ``If``: it takes the outer graph's values by name."""
    graph = ir.Graph([], [], nodes=[], name=f"{prefix}{kind}branch")
    graph.outputs.extend(append(part, graph, weights, prefix, kind, inputs, scope))
    return graph


def choose(graph: ir.Graph, condition: ir.Value, then: ir.Graph, otherwise: ir.Graph, *, name: str) -> ir.Value:
    chosen = ir.Value(name=name, shape=then.outputs[0].shape, type=then.outputs[0].type)
    graph.append(
        ir.Node(
            "",
            "If",
            [condition],
            [ir.AttrGraph("then_branch", then), ir.AttrGraph("else_branch", otherwise)],
            outputs=[chosen],
            name=f"{name}/If",
        )
    )
    return chosen


def constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    graph.initializers[name] = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    return graph.initializers[name]


def declare(name: str, dtype: ir.DataType, dims: Sequence[int | str]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))


def declare_output(graph: ir.Graph, value: ir.Value, name: str, dtype: ir.DataType, dims: list[int | str]) -> None:
    value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(dims)
    graph.outputs.append(value)


def rename(graph: ir.Graph, old: str, new: str) -> None:
    value = graph.initializers.pop(old)
    value.name = new
    graph.initializers[new] = value
