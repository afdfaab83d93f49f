"""Rows of a routed cache: which part of a table of distances is theirs, and how they leave.

How many rows a layer has depends on numbers, which torch's exporter can't follow, so these few nodes are made by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from youtu_onnx.families.microreason.cache import OPEN
from youtu_onnx.graphs.builder import GraphBuilder, dtype_of


def of_rows(builder: GraphBuilder, near: ir.Value, pasts: Sequence[ir.Value], new: ir.Value, prefix: str) -> ir.Value:
    """Of ``[1,1,S+1,T]`` the last columns, one for each row that a layer has with the step's own.

    Args:
        pasts: of the layer, of which the last has the fewest numbers.
        new: [1], minus the number of new tokens.
    """
    past = builder.op("Shape", [pasts[-1]], f"{prefix}rows.past", {"start": 2, "end": 3})
    first = builder.op("Sub", [new, past], f"{prefix}rows.first")
    bounds = [builder.integers(f"rows.{bound}", number) for bound, number in (("end", 2**31), ("axis", 3))]
    return builder.op("Slice", [near, first, *bounds], f"{prefix}rows.near")


def kept_rows(builder: GraphBuilder, rows: Sequence[ir.Value], kept: ir.Value, prefix: str) -> list[ir.Value]:
    """Of tensors ``[B,…,T,…]`` the rows that stay, in their order; ``kept`` [T] bool."""
    names = [f"{prefix}rows.kept.{place}" for place in range(len(rows))]
    return [builder.op("Compress", [one, kept], name, {"axis": 2}) for one, name in zip(rows, names, strict=True)]


def kept_behind_one(builder: GraphBuilder, gate: ir.Value, window: int, prefix: str) -> ir.Value:
    """Which rows stay behind a single token, ``[T]`` bool: those of the window, and before it those that are open.

    Args:
        gate: numbers of all rows, ``[1,1,T,1]``.
    """
    flat = builder.op("Reshape", [gate, builder.integers("rows.flat", -1)], f"{prefix}rows.gate")
    axis, least = builder.integers("rows.only_axis", 0), builder.constant("rows.open", np.array(OPEN, dtype_of(gate).numpy()))
    ends = [builder.integers(f"rows.{name}", at) for name, at in (("all", 0), ("window", 1 - window), ("end", 2**31))]
    if window == 1:
        return builder.op("GreaterOrEqual", [flat, least], f"{prefix}rows.stay")
    before, within = (
        builder.op("Slice", [flat, *bounds, axis], f"{prefix}rows.{name}")
        for name, bounds in (("before", ends[:2]), ("within", ends[1:]))
    )
    opened = builder.op("GreaterOrEqual", [before, least], f"{prefix}rows.opened")
    all_ = builder.op("LessOrEqual", [within, least], f"{prefix}rows.all")
    return builder.op("Concat", [opened, all_], f"{prefix}rows.stay", {"axis": 0})
