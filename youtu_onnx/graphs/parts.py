"""Traced parts put into graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from youtu_onnx.graphs.builder import GraphBuilder


@dataclass(frozen=True)
class Place:
    """Where a copy of a part stands.

    Attributes:
        prefix: of its weights' and values' names.
        kind: of part; its values have it behind the prefix. Its small constants (those with data) are named after it alone and
            shared by all copies.
        scope: goes behind the names of free axes. ONNX Runtime gives tensors with equal names of axes the same memory, so copies
            whose lengths differ need names of their own.
    """

    prefix: str
    kind: str
    scope: str = ""


def put(builder: GraphBuilder, part: ir.Model, place: Place, inputs: Sequence[ir.Value]) -> list[ir.Value]:
    """A copy of a part's nodes, fed with ``inputs``; returns its outputs."""
    values: dict[ir.Value, ir.Value] = dict(zip(part.graph.inputs, inputs, strict=True))
    weights = builder.model.initializers
    for name, value in part.graph.initializers.items():
        own = f"{place.kind}{name}" if value.const_value is not None else f"{place.prefix}{name}"
        if own not in weights:
            weights[own] = ir.Value(name=own, shape=value.shape, type=value.type, const_value=value.const_value)
        values[value] = weights[own]
    for node in part.graph:
        outputs = [
            ir.Value(name=f"{place.prefix}{place.kind}{o.name}", shape=_scoped(o.shape, place.scope), type=o.type)
            for o in node.outputs
        ]
        values.update(zip(node.outputs, outputs, strict=True))
        builder.copy(node, [None if i is None else values[i] for i in node.inputs], outputs)
    return [values[output] for output in part.graph.outputs]


def put_branch(builder: GraphBuilder, part: ir.Model, place: Place, inputs: Sequence[ir.Value]) -> ir.Graph:
    """A part as one branch of an ``If`` in the builder's graph."""
    inside = builder.branch(f"{place.prefix}{place.kind}branch")
    inside.graph.outputs.extend(put(inside, part, place, inputs))
    return inside.graph


def _scoped(shape: ir.Shape | None, scope: str) -> ir.Shape | None:
    if shape is None or not scope:
        return shape
    return ir.Shape([dim if isinstance(dim, int) else f"{dim}_{scope}" for dim in shape])
