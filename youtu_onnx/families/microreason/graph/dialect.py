"""How a graph is written: one dialect for each kind of provider that may run it.

Each says what its parts are traced of, and with which inputs. Shapes: see ``modules.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.cache import MASKED, row_width
from youtu_onnx.families.microreason.graph import positions
from youtu_onnx.families.microreason.graph.device import DevicePrologue, StaticAttention, StaticPrologue, TableProjections
from youtu_onnx.families.microreason.graph.modules import Attention, Projections, Prologue, RoutedAttention, RoutedPrologue
from youtu_onnx.graphs import fused
from youtu_onnx.graphs.axes import BATCH, PAST, SEQUENCE, TOTAL
from youtu_onnx.graphs.modules import RMSNorm, SimplifiedRMSNorm
from youtu_onnx.graphs.parameter import Parameter
from youtu_onnx.graphs.trace import Part

BY_HEAD = {0: BATCH, 2: SEQUENCE}
NEXT = "sequence_length_and_next"
"""New tokens, and the one behind them."""


@dataclass(frozen=True)
class Dialect:
    """ONNX Runtime's CPU provider, which has every operator of its opset.

    Attributes:
        opset: of ONNX's operators.
        on_request: whether the graph computes the logits of the last positions only, where that is asked for.
        batches: whether there is a batch graph.
        removes: whether layers drop rows.
        norm: every RMS norm.
        projections: from hidden states to queries and cached rows, rotations among them.
    """

    opset: int
    on_request: ClassVar[bool] = True
    batches: ClassVar[bool] = True
    removes: ClassVar[bool] = False
    norm: ClassVar[type[RMSNorm]] = RMSNorm
    projections: ClassVar[type[Projections]] = Projections

    @property
    def silu(self) -> Callable[[Tensor], Tensor]:
        return fused.silu

    def turns(self, a: Architecture) -> tuple[int, ...]:
        """The last axes of cosines and of sines."""
        return (a.head_dim // 2,)

    def prologue(self, a: Architecture) -> nn.Module:
        return Prologue(a)

    def positions(self, a: Architecture) -> dict[str, Parameter]:
        return positions.frequencies(a)

    def attention(self, a: Architecture) -> Part:
        """Takes queries, new rows, pasts, and what the prologue says of masks; see :class:`Attention`."""
        return self._attention(a, lambda: Attention(a, fused_product=True))

    def _attention(self, a: Architecture, build: Callable[[], nn.Module]) -> Part:
        past, far = {0: BATCH, 2: PAST}, {2: SEQUENCE, 3: TOTAL}
        return Part(
            build,
            lambda: [
                *rows(a, 3, 3, 3, 5, 5),
                torch.ones(2, 1, 3, 8),
                *([torch.ones(1, 1, 3, 8)] if a.attention_routing else []),
            ],
            [BY_HEAD, BY_HEAD, BY_HEAD, past, past, {0: BATCH, **far}, *([far] if a.attention_routing else [])],
        )


@dataclass(frozen=True)
class RoutedDialect(Dialect):
    """For a routed cache."""

    removes: ClassVar[bool] = True

    def prologue(self, a: Architecture) -> nn.Module:
        return RoutedPrologue(a)

    def attention(self, a: Architecture) -> Part:
        past, count, width = {0: BATCH, 2: PAST}, a.num_attention_heads, a.head_dim

        def inputs() -> list[Tensor]:
            sizes = ((count, width), (count, width), (1, 1))
            new, old = ([torch.ones(2, heads, length, size) for heads, size in sizes] for length in (3, 5))
            return [torch.ones(2, count, 3, width), *new, *old, torch.ones(1, 1, 4, 8)]

        axes = [*[BY_HEAD] * 4, *[past] * 3, {2: NEXT, 3: TOTAL}]
        return Part(lambda: RoutedAttention(a, fused_product=True), inputs, axes)


@dataclass(frozen=True)
class DeviceDialect(Dialect):
    """For GPUs: an older opset, rotations as products with tables, no arithmetic with sizes."""

    on_request: ClassVar[bool] = False
    batches: ClassVar[bool] = False
    norm: ClassVar[type[RMSNorm]] = SimplifiedRMSNorm
    projections: ClassVar[type[Projections]] = TableProjections

    @property
    def silu(self) -> Callable[[Tensor], Tensor]:
        return F.silu

    def turns(self, a: Architecture) -> tuple[int, ...]:
        return (1, a.head_dim)

    def prologue(self, a: Architecture) -> nn.Module:
        return DevicePrologue(a)

    def positions(self, a: Architecture) -> dict[str, Parameter]:
        return positions.tables(a, a.max_position_embeddings)

    def attention(self, a: Architecture) -> Part:
        return self._attention(a, lambda: Attention(a, fused_product=False))


@dataclass(frozen=True)
class StaticDialect(DeviceDialect):
    """As for other GPUs, over buffers of ``length`` rows."""

    length: int = 0

    def prologue(self, a: Architecture) -> nn.Module:
        return StaticPrologue(a, self.length)

    def positions(self, a: Architecture) -> dict[str, Parameter]:
        return positions.tables(a, self.length) | positions.row_numbers(self.length)

    def attention(self, a: Architecture) -> Part:
        length, routed = self.length, a.attention_routing
        whole = {0: BATCH}
        return Part(
            lambda: StaticAttention(a, fused_product=False),
            lambda: [
                *rows(a, 3, 3, 3, length, length),
                torch.ones(2, 1, length, 1, dtype=torch.bool),
                torch.ones(1, 1, length, 3),
                torch.ones(2, 1, 3, length),
                *([torch.ones(1, 1, 3, length)] if routed else []),
            ],
            [BY_HEAD, BY_HEAD, BY_HEAD, whole, whole, whole, {3: SEQUENCE}, BY_HEAD, *([{2: SEQUENCE}] if routed else [])],
        )


def rows(a: Architecture, *lengths: int) -> list[Tensor]:
    """Examples ``[2, H, length, W]`` of a masked cache."""
    return [torch.ones(2, a.num_attention_heads, length, row_width(a, MASKED)) for length in lengths]
