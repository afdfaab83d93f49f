"""The end of every graph: which positions' logits, and the logits."""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.graphs.builder import GraphBuilder
from youtu_onnx.graphs.parts import Place, put

HEAD = "lm_head.weight"


def positions_from(builder: GraphBuilder, hidden: ir.Value, start: ir.Value, name: str) -> ir.Value:
    """``[B,S,D]`` from position ``start`` [1] on; below zero it counts from the end."""
    bounds = [builder.integers(f"head.{bound}", number) for bound, number in (("end", 2**31), ("axis", 1))]
    return builder.op("Slice", [hidden, start, *bounds], name)


def append_head(builder: GraphBuilder, epilogue: ir.Model, hidden: ir.Value) -> ir.Value:
    """The logits; their matrix is called as Hugging Face calls it, without the ``model.`` of what is traced with it."""
    [logits] = put(builder, epilogue, Place("model.", "head."), [hidden])
    weights = builder.model.initializers
    if f"model.{HEAD}" in weights:
        matrix = weights.pop(f"model.{HEAD}")
        matrix.name = HEAD
        weights[HEAD] = matrix
    return logits
