"""A graph on its way to a bundle: nodes, and for every weight how its bytes will be made.

Passes rewrite both together. No weight is in memory here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from youtu_onnx.core.bundle import GraphFacts
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.graphs.adapted_rows import AdaptedHeads, AdaptedRows
from youtu_onnx.graphs.builder import GraphBuilder
from youtu_onnx.graphs.parameter import Parameter

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """One initializer of the finished graph."""

    name: str
    dtype: ir.DataType
    shape: Shape

    @property
    def nbytes(self) -> int:
        return int(prod(self.shape) * self.dtype.itemsize)


@dataclass(frozen=True)
class Packing:
    """How one parameter becomes initializers; ``pack`` is told how to read it, and returns one array per piece.

    ``label`` is for people; ``storage`` says how a matrix is blocked, None where it isn't. ``packed`` is told the arrays, also
    where they weren't made by ``pack`` this time.
    """

    parameter: Parameter
    pieces: tuple[Piece, ...]
    pack: Callable[[Callable[[], Tensor]], tuple[NDArray[Any], ...]]
    label: str
    storage: Blockwise | None = None
    packed: Callable[[tuple[NDArray[Any], ...]], None] = lambda _: None


@dataclass
class Assembly:
    """The graph and its weights' packings.

    Attributes:
        aliases: initializers that show another one's bytes in another shape.
        batch: a second graph over the same weights, rewritten by the same passes: its packings say nothing new.
        adapted, adapted_heads: what the graph has inputs for adapters of, and where its rows come from.
    """

    model: ir.Model
    parameters: dict[str, Parameter]
    dtype: ir.DataType
    cache: CacheLayout
    facts: GraphFacts
    packings: dict[str, Packing] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    batch: Assembly | None = None
    adapted: dict[str, tuple[AdaptedRows, ...]] = field(default_factory=dict)
    adapted_heads: dict[str, AdaptedHeads] = field(default_factory=dict)

    @property
    def graph(self) -> ir.Graph:
        return self.model.graph

    @property
    def builder(self) -> GraphBuilder:
        return GraphBuilder.of(self.graph)

    def unpacked(self, name: str) -> Parameter | None:
        """The parameter behind an initializer that no pass has stored yet."""
        return self.parameters.get(name) if name not in self.packings else None

    def store(self, name: str, packing: Packing) -> list[ir.Value]:
        """Take a packing for parameter ``name`` and return the graph's values of its pieces."""
        self.packings[name] = packing
        return [self.initializer(piece) for piece in packing.pieces]

    def initializer(self, piece: Piece) -> ir.Value:
        value = self.graph.initializers.get(piece.name)
        if value is None:
            value = ir.Value(name=piece.name)
            self.graph.initializers[piece.name] = value
        value.shape, value.type = ir.Shape(piece.shape), ir.TensorType(piece.dtype)
        return value

    def alias(self, piece: Piece, of: str) -> ir.Value:
        """An initializer over the bytes of piece ``of``."""
        self.aliases[piece.name] = of
        return self.initializer(piece)
