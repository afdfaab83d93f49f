"""Where rows of the checkpoint's matrices stand in a graph's: what is to be added to them has to go there, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from youtu_onnx.graphs.parameter import Given


@dataclass(frozen=True)
class AdaptedRows:
    """Rows of a graph's matrix that are those of one matrix ``[N,K]`` of the checkpoint.

    Attributes:
        module: the checkpoint's, whose ``.weight`` it is.
        count: N.
        order: which row of the checkpoint's stands where, ``[N]``; None: as they come.
        factors: made of ``sources``, by name: what each is multiplied with, where it stands, ``[N]``; None: nothing.
    """

    module: str
    count: int
    order: Tensor | None = None
    factors: Callable[[Given], Tensor] | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdaptedHeads:
    """Heads of latent attention, made of one matrix ``[H·(N+V),L]`` of the checkpoint: every head's N key rows, then its V value
    rows.

    Attributes:
        module: the checkpoint's, whose ``.weight`` it is.
        heads, key, value, columns: H, N, V and L.
        factors: made of ``sources``, by name: what key rows are multiplied with in the graph, ``[H·N]``; None: nothing.
    """

    module: str
    heads: int
    key: int
    value: int
    columns: int
    factors: Callable[[Given], Tensor] | None = None
    sources: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes by the end of the name; None: the adapter's rank."""
        h, n, v, width = self.heads, self.key, self.value, self.columns
        return {"a": (1, None, width), "a_t": (1, width, None), "b_k": (h, n, None), "b_k_t": (h, None, n), "b_v": (h, None, v)}
