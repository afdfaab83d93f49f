"""Rows of a routed cache: which part of a table of distances is theirs, and how they leave.

How many rows a layer has depends on numbers, which torch's exporter can't follow, so these few nodes are made by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from youtu_onnx.graphs.builder import GraphBuilder


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
