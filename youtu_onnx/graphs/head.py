"""The end of every graph: which positions' logits, and the logits."""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.graphs.builder import GraphBuilder
from youtu_onnx.graphs.parts import Place, put

HEAD = "lm_head.weight"
KEPT_FROM = "head.start"
"""[1], the first position of which logits are computed, from the end; 0: all."""


def positions_from(builder: GraphBuilder, hidden: ir.Value, start: ir.Value, name: str) -> ir.Value:
    """``[B,S,D]`` from position ``start`` [1] on; below zero it counts from the end."""
    bounds = [builder.integers(f"head.{bound}", number) for bound, number in (("end", 2**31), ("axis", 1))]
    return builder.op("Slice", [hidden, start, *bounds], name)


def last_positions(builder: GraphBuilder, hidden: ir.Value, mask: ir.Value) -> ir.Value:
    """Of ``[B,S,D]`` the positions that the mask's last column asks for: 1 + k is the last k, 1 is all."""
    column = positions_from(builder, mask, builder.integers("head.last_column", -1), "head.column")  # [B,1]
    largest = builder.op("ReduceMax", [column, builder.integers("head.batch", 0)], "head.largest", {"keepdims": 0})  # [1]
    one, none = builder.integers("head.one", 1), builder.integers("head.none", 0)
    wanted = builder.op("Sub", [one, largest], "head.wanted")  # -k, or 1 where the column is all padding
    return positions_from(builder, hidden, builder.op("Min", [wanted, none], KEPT_FROM), "head.kept")


def append_head(builder: GraphBuilder, epilogue: ir.Model, hidden: ir.Value) -> ir.Value:
    """The logits; their matrix is called as Hugging Face calls it, without the ``model.`` of what is traced with it."""
    [logits] = put(builder, epilogue, Place("model.", "head.", "kept"), [hidden])
    weights = builder.model.initializers
    if f"model.{HEAD}" in weights:
        matrix = weights.pop(f"model.{HEAD}")
        matrix.name = HEAD
        weights[HEAD] = matrix
    return logits
