"""Matrices ``[N,K]`` in a data file, in the ways that operators read them. Written from the operators' definitions alone:

- ``MatMulNBits`` and ``GatherBlockQuantized`` (com.microsoft, opset 1): ``(code - zero point) · scale``, one scale and one zero
  point for each ``block_size`` codes along K. Codes and zero points of 4 bits lie two in a byte, the first in the low half; where
  there are no zero points, all are the middle value, ``2^(bits-1)``.
- ``Gather``, ``Gemm`` and ``FusedMatMul`` with ``transB`` take ``[N,K]`` as it is, ``MatMul`` takes ``[K,N]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.graphs.rounded import Rounded

Read = Callable[[str, slice, slice], NDArray[Any]]
"""An initializer's numbers as they are stored: its name, which of the first axis, which of the second."""
ALL = slice(None)


class StoredMatrix(Protocol):
    """A matrix whose rows are read when they are asked for."""

    def rows(self, which: slice = ALL) -> Rounded: ...


@dataclass(frozen=True)
class Blocks:
    """Integers in blocks.

    Attributes:
        codes: initializer uint8 ``[N,G,bytes]`` or ``[N,G·bytes]``.
        scales: initializer of floats ``[N,G]``.
        zero_points: initializer uint8, G numbers of ``bits`` a row; None where it has none.
        columns: K; what a last block has beyond it is padding.
        order: int64 ``[K]``, which of the inputs each column is multiplied with; None: as they follow one another.
    """

    read: Read
    codes: str
    scales: str
    zero_points: str | None
    bits: int
    block: int
    columns: int
    order: NDArray[Any] | None = None

    def rows(self, which: slice = ALL) -> Rounded:
        found = self._stored(which)
        if self.order is None:
            return found
        back = np.argsort(self.order)
        steps = np.repeat(found.steps, self.block, axis=1)[:, : self.columns]  # a block's columns no longer follow one another
        return Rounded(found.values[:, back], found.storage, steps[:, back])

    def _stored(self, which: slice) -> Rounded:
        scales = self.read(self.scales, which, ALL)
        count, groups = scales.shape
        codes = _numbers(self.read(self.codes, which, ALL).reshape(count, -1), self.bits)
        zeros: Any = np.float32(2 ** (self.bits - 1))
        if self.zero_points is not None:
            zeros = _numbers(self.read(self.zero_points, which, ALL), self.bits)[:, :groups, None].astype(np.float32)
        values = codes.reshape(count, groups, self.block).astype(np.float32)
        values -= zeros
        values *= scales.astype(np.float32)[:, :, None]
        flat = values.reshape(count, -1)[:, : self.columns]
        # A scale is rounded, too: by half of its last bit, times the codes that it is multiplied with.
        steps = np.abs(scales).astype(np.float32) + np.spacing(np.abs(scales)).astype(np.float32) * np.float32(
            2 ** (self.bits - 2)
        )
        first, last = (np.broadcast_to(code - zeros, (count, groups, 1)) * scales[:, :, None] for code in (0, 2**self.bits - 1))
        ends = np.sort(np.concatenate([first, last], axis=-1).astype(np.float32), axis=-1)  # a scale may be negative
        return Rounded(flat, f"int{self.bits}", steps, self.block, ends)


def _numbers(packed: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """uint8 ``[N,n]``, or ``[N,2n]`` where two numbers lie in a byte."""
    if bits == 8:
        return packed
    apart = np.empty((*packed.shape, 2), np.uint8)
    apart[..., 0], apart[..., 1] = packed & 15, packed >> 4
    return apart.reshape(len(packed), -1)


@dataclass(frozen=True)
class Plain:
    """Floats, as an initializer ``[N,K]`` has them, or ``[K,N]`` where ``transposed``."""

    read: Read
    name: str
    transposed: bool

    def rows(self, which: slice = ALL) -> Rounded:
        return Rounded.floats(self.read(self.name, ALL, which).T if self.transposed else self.read(self.name, which, ALL))
