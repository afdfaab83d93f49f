"""How a parameter of a graph is made of a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Parameter:
    """One parameter of the graph.

    Attributes:
        tensors: names in the checkpoint, in the order in which ``build`` takes them.
        shape: of the result.
        build: from the tensors, in their stored dtype or float32, to the parameter.
        kind: ``matrix`` [N,K] is quantized by the recipe; ``heads`` [H,K,N] and ``vector`` (norms, biases, scales) stay
            float; ``constant`` stays float32; ``bytes`` is int8 as built.
        beside: more names, which ``build`` takes after ``tensors``: weights that only lend their size to this one's.
        shared: the first step of parameters that are made together: from the tensors to what the ``build`` of each takes in
            their place. It is done once for those that follow one another in the data file.
    """

    tensors: tuple[str, ...]
    shape: tuple[int, ...]
    build: Callable[..., Tensor]
    kind: str
    beside: tuple[str, ...] = ()
    shared: Callable[..., Any] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Everything that it is made from."""
        return self.tensors + self.beside
