"""What a latent cache and the matrices around it are made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.adapted_heads import AdaptedByteHeads, AdaptedFloatHeads
from youtu_onnx.families.youtu.graph.attention import Absorbed, ExpandedBytes, ExpandedFloats, OverBytes, OverFloats, OverHalves
from youtu_onnx.families.youtu.graph.heads import ByteHeads, FloatHeads
from youtu_onnx.families.youtu.graph.rows import ByteRows, FloatRows, HalfRows


@dataclass(frozen=True)
class Latent:
    """Which modules a graph over a latent cache is traced of.

    Attributes:
        rows: how a token's row is kept.
        heads: how W_UK and W_UV are.
    """

    rows: type[FloatRows | HalfRows | ByteRows]
    heads: type[FloatHeads | ByteHeads]

    @property
    def bytes(self) -> bool:
        """Whether rows are: their two parts have one scale then, and attention takes a threshold for each token more."""
        return self.rows is ByteRows

    @property
    def integer_heads(self) -> bool:
        return issubclass(self.heads, ByteHeads)

    def adaptable(self) -> Latent:
        """With an adapter's inputs beside the heads. A cache of bytes has none: its rows would have to be made floats for it."""
        if self.bytes:
            return self
        return Latent(self.rows, AdaptedByteHeads if self.integer_heads else AdaptedFloatHeads)

    @property
    def adapted(self) -> bool:
        """Whether adapters may change the heads."""
        return issubclass(self.heads, AdaptedByteHeads | AdaptedFloatHeads)

    def over(self, a: Architecture, *, keys_first: bool) -> OverFloats | OverBytes:
        """``keys_first``: see :class:`OverFloats`; products of bytes have one order."""
        if self.bytes:
            return OverBytes(a)
        return (OverHalves if self.rows is HalfRows else OverFloats)(keys_first=keys_first)

    def absorbed(self, a: Architecture, *, keys_first: bool) -> nn.Module:
        return Absorbed(a, self.heads(a), self.over(a, keys_first=keys_first))

    def expanded(self, a: Architecture) -> nn.Module:
        if issubclass(self.rows, ByteRows):
            return ExpandedBytes(a, ByteHeads(a), ByteRows(a))
        return ExpandedFloats(a, self.heads(a), self.rows(a))
