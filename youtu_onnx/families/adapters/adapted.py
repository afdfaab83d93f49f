"""What an adapter may change in a graph, and which values it gives the inputs there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.families.adapters.adapter import Adapter
from youtu_onnx.graphs.rounded import Floats

Shape = tuple[int | None, ...]
"""None: the adapter's rank."""


class Adapted(Protocol):
    """A part of a graph that adapters may change. Its inputs are given together, and of one rank, or not at all."""

    @property
    def inputs(self) -> dict[str, Shape]:
        """By name."""

    @property
    def modules(self) -> dict[str, tuple[int, int]]:
        """The checkpoint's matrices that it has rows of, and their sizes."""

    def values(self, adapter: Adapter) -> dict[str, Floats]:
        """By name of the input; nothing where the adapter changes none of its modules.

        Raises:
            AdapterError: the adapter holds NaN or infinity.
        """


@dataclass(frozen=True)
class AdaptedMatrix:
    """A matrix ``[N,K]``, and the inputs beside it: ``lora_A`` ``[K,R]`` and ``lora_B`` ``[R,N]``. Implements :class:`Adapted`.

    Attributes:
        rows: the checkpoint's modules whose rows it has, one below the other, and how many each.
        order: which of these rows stands where; None: as they come.
        factors: what each is multiplied with, where it stands; None: nothing.
    """

    name: str
    columns: int
    rows: tuple[tuple[str, int], ...]
    order: NDArray[np.int64] | None
    factors: Floats | None

    @property
    def count(self) -> int:
        """N."""
        return sum(count for _, count in self.rows)

    @property
    def inputs(self) -> dict[str, Shape]:
        return {f"{self.name}.lora_A.weight": (self.columns, None), f"{self.name}.lora_B.weight": (None, self.count)}

    @property
    def modules(self) -> dict[str, tuple[int, int]]:
        return {module: (count, self.columns) for module, count in self.rows}

    def values(self, adapter: Adapter) -> dict[str, Floats]:
        """Of several modules the ranks add up: the columns of one's A stand beside the other's, and B has zeros between them."""
        found = {module: adapter.modules[module].read() for module, _ in self.rows if module in adapter.modules}
        if not found:
            return {}
        rank = sum(one.rank for one in found.values())
        down, up = np.empty((self.columns, rank), np.float32), np.zeros((rank, self.count), np.float32)
        across = first = 0
        for module, count in self.rows:
            if (one := found.get(module)) is not None:
                down[:, across : across + one.rank] = one.right.T
                up[across : across + one.rank, first : first + count] = one.scale * one.left.T
                across += one.rank
            first += count
        up = up if self.order is None else up[:, self.order]
        return dict(zip(self.inputs, (down, up if self.factors is None else up * self.factors), strict=True))


@dataclass(frozen=True)
class AdaptedHeads:
    """Heads of latent attention, made of ``kv_b_proj`` ``[H·(N+V),L]``. Implements :class:`Adapted`.

    Attributes:
        name: the beginning of its inputs' names.
        heads, key, value, columns: H, N, V and L.
        factors: what key rows are multiplied with in the graph, ``[H·N]``; None: nothing.
    """

    name: str
    module: str
    heads: int
    key: int
    value: int
    columns: int
    factors: Floats | None

    @property
    def inputs(self) -> dict[str, Shape]:
        h, n, v, width = self.heads, self.key, self.value, self.columns
        ends: dict[str, Shape] = {
            "a": (1, None, width),
            "a_t": (1, width, None),
            "b_k": (h, n, None),
            "b_k_t": (h, None, n),
            "b_v": (h, None, v),
        }
        return {f"{self.name}.{end}": shape for end, shape in ends.items()}

    @property
    def modules(self) -> dict[str, tuple[int, int]]:
        return {self.module: (self.heads * (self.key + self.value), self.columns)}

    def values(self, adapter: Adapter) -> dict[str, Floats]:
        if self.module not in adapter.modules:
            return {}
        one = adapter.modules[self.module].read()
        rows = (one.scale * one.left).reshape(self.heads, self.key + self.value, one.rank)
        keys, values = rows[:, : self.key], rows[:, self.key :]
        if self.factors is not None:
            keys = keys * self.factors.reshape(self.heads, self.key, 1)
        made = (one.right[None], one.right.T[None], keys, keys.transpose(0, 2, 1), values.transpose(0, 2, 1))
        return dict(zip(self.inputs, made, strict=True))
