"""How a graph is written: one dialect for each kind of provider that may run it. Each owns the parts that it writes its own way.

Shapes: B batch, S new tokens, T tokens so far, R qk_rope_head_dim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.target import OPSET
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph import positions
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.families.youtu.graph.modules import Projections, Prologue
from youtu_onnx.graphs import fused
from youtu_onnx.graphs.axes import BATCH, PAST, SEQUENCE, TORCH_DTYPES, TOTAL
from youtu_onnx.graphs.modules import RMSNorm
from youtu_onnx.graphs.parameter import Parameter
from youtu_onnx.graphs.trace import Part


@dataclass(frozen=True)
class Dialect:
    """ONNX's own operators, in the version that first had them all; one order of attention; sizes computed in the graph.

    Attributes:
        opset: of ONNX's operators.
        norm: every RMS norm.
        projections: from hidden states to queries and cached rows, rotations among them.
        both_orders: whether attention over a latent cache is there in both orders, behind an ``If``; the graph then computes the
            logits of the last positions only, where that is asked for, and there may be a batch graph of the same parts.
        computes_angles: whether cosines and sines are computed in the graph; else they are weights.
        places_rows: whether the prologue says which rows of the cache are kept and which are written.
    """

    opset: int = OPSET
    norm: ClassVar[type[RMSNorm]] = RMSNorm
    projections: ClassVar[type[Projections]] = Projections
    both_orders: ClassVar[bool] = False
    computes_angles: ClassVar[bool] = True
    places_rows: ClassVar[bool] = False

    @property
    def silu(self) -> Callable[[Tensor], Tensor]:
        return F.silu

    def turns(self, a: Architecture) -> tuple[int, ...]:
        """The last axes of cosines and of sines."""
        return (a.qk_rope_head_dim // 2,)

    def prologue(self, a: Architecture, *, dither: bool) -> nn.Module:
        return Prologue(a, dither=dither)

    def positions(self, a: Architecture) -> dict[str, Parameter]:
        return positions.frequencies(a)

    def attention(self, a: Architecture, latent: Latent, cache: CacheLayout) -> dict[str, Part]:
        """What stores a token's row, and what attends to all rows of a layer."""
        stored, row = TORCH_DTYPES[cache.dtype], a.latent_dim
        new, total, past, by_head = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 2: TOTAL}, {0: BATCH, 2: PAST}, {0: BATCH, 2: SEQUENCE}
        bias = {0: BATCH, 2: SEQUENCE, 3: TOTAL}

        def attend(build: Callable[[], nn.Module], *more: dict[int, str]) -> Part:
            return Part(
                build,
                lambda: [
                    *(torch.ones(2, a.num_attention_heads, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)),
                    torch.ones(2, 1, 8, row, dtype=stored),
                    torch.ones(2, 1, 3, 8),
                    *(torch.ones(8) for _ in more),
                ],
                [by_head, by_head, total, bias, *more],
            )

        found = {
            "store": Part(
                lambda: latent.rows(a),
                lambda: [
                    torch.ones(2, 3, a.kv_lora_rank),
                    torch.ones(2, 3, a.qk_rope_head_dim),
                    torch.ones(2, 1, 5, row, dtype=stored),
                ],
                [new, new, past],
            ),
            "attend": attend(lambda: latent.absorbed(a, keys_first=self.both_orders), *([{0: TOTAL}] if latent.bytes else [])),
        }
        if self.both_orders:
            found["expanded"] = attend(lambda: latent.expanded(a))
        return found


@dataclass(frozen=True)
class CpuDialect(Dialect):
    """For ONNX Runtime's CPU provider and a latent cache: as its optimizer would leave a graph, with what it alone runs well."""

    both_orders: ClassVar[bool] = True

    @property
    def silu(self) -> Callable[[Tensor], Tensor]:
        return fused.silu
