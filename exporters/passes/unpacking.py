"""Rows of a quantized matrix by index where a provider has no operator for it, in plain arithmetic.

``Gather(W, ids)``  →  ``(unpack(Gather(B, ids)) - unpack(Gather(zero points, ids))) · Gather(scales, ids)``

Two codes of four bits in a byte x are ``x mod 16`` and ``floor(x / 16)``; both come of one product with (1, 1/16), which is
exact in float16. B and the rest may be a head's: only rows that are asked for are read.

Shapes: I the index's, G groups of K numbers a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.assembly import Assembly, Packing, Piece
from youtu_onnx.graphs.builder import Attributes


class Unpacking:
    """Nodes before the Gather that they replace, named after its matrix."""

    def __init__(self, assembly: Assembly, node: ir.Node, name: str) -> None:
        self.assembly, self.node, self.name = assembly, node, name
        self.here = assembly.builder.at(node)

    def rows(self, packing: Packing, storage: Blockwise) -> ir.Value:
        """Numbers ``[*I, G·K]``, of which the last ones may be padding."""
        codes, scales, *zero_points = packing.pieces
        count, groups, in_bytes = codes.shape
        flat = self.assembly.alias(Piece(f"{self.name}_rows", codes.dtype, (count, groups * in_bytes)), codes.name)
        values = self._reshaped(self._unpacked(flat, "codes", storage.bits), "codes", groups, storage.block_size)
        if zero_points:
            zeros = self._unpacked(self.assembly.initializer(zero_points[0]), "zeros", storage.bits)
            if storage.bits == 4:  # as many as their bytes hold
                zeros = self._reshaped(zeros, "zeros", 2 * zero_points[0].shape[1])
                if groups % 2:
                    zeros = self._op(
                        "Slice",
                        [zeros, *(self._integers(key, n) for key, n in (("start", 0), ("groups", groups), ("last", -1)))],
                        "zeros_used",
                    )
            zeros = self._reshaped(zeros, "zero_of", groups, 1)
        else:
            zeros = self._number("middle", 2 ** (storage.bits - 1))
        scale = self._op("Gather", [self.assembly.initializer(scales), self.node.inputs[1]], "scales")
        centred = self._op("Sub", [values, zeros], "centred")
        scaled = self._op("Mul", [centred, self._reshaped(scale, "scale_of", groups, 1)], "scaled")
        return self._reshaped(scaled, "row", groups * storage.block_size)

    def _unpacked(self, packed: ir.Value, what: str, bits: int) -> ir.Value:
        """Floats: ``[*I, n]`` of bytes; ``[*I, n, 2]`` of halves of bytes."""
        gathered = self._op("Gather", [packed, self.node.inputs[1]], f"{what}_packed")
        floats = self._op("Cast", [gathered], f"{what}_bytes", {"to": int(self.assembly.dtype)})
        if bits == 8:
            return floats
        apart = self._op("Unsqueeze", [floats, self._integers("last", -1)], f"{what}_apart")
        shifted = self._op("Mul", [apart, self._number("halves", [1, 1 / 16])], f"{what}_shifted")
        both = self._op("Floor", [shifted], f"{what}_both")  # x and floor(x / 16)
        beyond = self._op("Mul", [both, self._number("sixteenth", 1 / 16)], f"{what}_beyond")
        above = self._op("Floor", [beyond], f"{what}_above")  # floor(x / 16) and 0
        upper = self._op("Mul", [above, self._number("sixteen", 16)], f"{what}_upper")
        return self._op("Sub", [both, upper], f"{what}_unpacked")

    def _reshaped(self, value: ir.Value, what: str, *sizes: int) -> ir.Value:
        """The index has the two axes of token ids, [B,S]."""
        return self._op("Reshape", [value, self._integers(f"shape_{what}", 0, 0, *sizes)], f"{what}_shaped")

    def _op(self, kind: str, inputs: Sequence[ir.Value | None], what: str, attributes: Attributes | None = None) -> ir.Value:
        return self.here.op(kind, inputs, f"{self.name}.{what}", attributes)

    def _integers(self, key: str, *numbers: int) -> ir.Value:
        return self.here.integers(f"embed.unpack_{key}", *numbers)

    def _number(self, key: str, number: float | list[float]) -> ir.Value:
        return self.here.constant(f"embed.unpack_{key}", np.array(number, self.assembly.dtype.numpy()))
