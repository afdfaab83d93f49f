"""How a parameter of a graph is made of a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Given = Mapping[str, Tensor]
"""A checkpoint's tensors by name, each in its stored dtype."""


@dataclass(frozen=True)
class Rows:
    """Rows of a checkpoint's matrix, as a parameter has them.

    Attributes:
        tensor: the matrix's name.
        order: which of its rows, in the parameter's order; None: all, as they are.
        factors: of the given tensors, what each row is multiplied with, ``[rows]``; None: nothing.
    """

    tensor: str
    order: Callable[[], Tensor] | None = None
    factors: Callable[[Given], Tensor] | None = None


@dataclass(frozen=True)
class Parameter:
    """One parameter of the graph.

    Attributes:
        tensors: names in the checkpoint of what it is made of: what its precision is asked for by.
        shape: of the result.
        build: from all of :attr:`sources`, by name, to the parameter; or from what ``shared`` made of them.
        kind: ``matrix`` [N,K] is quantized by the recipe; ``heads`` [H,K,N] and ``vector`` (norms, biases, scales) stay
            float; ``constant`` stays float32; ``bytes`` is int8 as built.
        beside: more names: weights that only lend their size to this one's.
        shared: the first step of parameters that are made together. It is done once for those that follow one another in the
            data file.
        rows: what :attr:`build` makes, said in another way, of a matrix that is nothing but rows of others, one part above the
            other: codes of a matrix that is quantized already go the same way. Empty where it is more.
    """

    tensors: tuple[str, ...]
    shape: tuple[int, ...]
    build: Callable[[Any], Tensor]
    kind: str
    beside: tuple[str, ...] = ()
    shared: Callable[[Given], Any] | None = None
    rows: tuple[Rows, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Everything that it is made from."""
        return tuple(dict.fromkeys(self.tensors + self.beside))
