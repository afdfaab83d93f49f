"""Rows leave a routed cache: nodes behind each layer's attention.

How many rows a layer keeps depends on numbers, which torch's exporter can't follow, so these few nodes are made by hand.
"""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.graphs.builder import GraphBuilder


class Removal:
    """Of one layer, named after it."""

    def __init__(self, builder: GraphBuilder, prefix: str, places: ir.Value, most: ir.Value, heads: int) -> None:
        """``places`` [B,T] and ``most`` [1]: see :class:`youtu_onnx.families.microreason.graph.modules.RoutedAttention`.

        Rows stay in their order, at the right. A sequence that keeps fewer than the one that keeps most has others on the left:
        padding, or shut rows beyond the window, which are never seen, and go as soon as they fall behind.
        """
        self.builder, self.prefix = builder, prefix
        everything = builder.op("Shape", [places], f"{prefix}rows.all", {"start": 1, "end": 2})  # [1]
        ordered = builder.ops("TopK", [places, everything], [f"{prefix}rows.sorted", f"{prefix}rows.order"], {"largest": 0})
        first = builder.op("Neg", [most], f"{prefix}rows.first")
        bounds = [builder.integers(f"rows.{bound}", number) for bound, number in (("end", 2**31), ("axis", 1))]
        kept = builder.op("Slice", [ordered[1], first, *bounds], f"{prefix}rows.kept")  # [B, kept]
        columns = builder.op("Unsqueeze", [kept, builder.integers("rows.axes", 1, 3)], f"{prefix}rows.column")
        self.indices = builder.op("Expand", [columns, builder.integers("rows.heads", 1, heads, 1, 1)], f"{prefix}rows.indices")

    def of(self, rows: ir.Value, role: str) -> ir.Value:
        """``[B,H,T,W]`` → ``[B,H,kept,W]``."""
        return self.builder.op("GatherND", [rows, self.indices], f"{self.prefix}rows.{role}", {"batch_dims": 2})
