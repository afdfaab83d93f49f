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
