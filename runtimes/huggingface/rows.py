"""The rows of all sequences of a batch, in one of the ways in which a Decoder keeps those of one.

Shapes: B sequences, P tokens.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.runtimes.ort.cache import BoundCache, empty_past
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.ort.returned_cache import ReturnedCache
from youtu_onnx.runtimes.ort.static_cache import StaticCache


class BatchRows(BoundCache, Protocol):
    """A BoundCache of B sequences of one length, that can be read and filled."""

    @property
    def batch(self) -> int:
        """B."""

    def arrays(self) -> list[np.ndarray]:
        """The rows on the host, ``[B, heads, P, width]`` each, in the graph's order; nothing of an untouched cache."""

    def fill(self, arrays: list[np.ndarray], length: int) -> None:
        """Hold these, as :meth:`arrays` returns them, as the rows of ``length`` tokens. Nobody may change them afterwards."""


class OneSequence(InPlaceCache):
    """In place."""

    batch = 1

    def arrays(self) -> list[np.ndarray]:
        return [buffer[None, None, : self.length] for buffer in self._buffers]

    def fill(self, arrays: list[np.ndarray], length: int) -> None:
        self.reserve(length)
        for buffer, array in zip(self._buffers, arrays, strict=True):
            buffer[:length] = array[0, 0]
        self.length = length


class ReturnedSequences(ReturnedCache):
    """As each step returns them."""

    def __init__(self, layout: CacheLayout, device: str, batch: int) -> None:
        self.batch = batch
        super().__init__(layout, device)

    def arrays(self) -> list[np.ndarray]:
        return [value.numpy() for value in self._state[0]]

    def fill(self, arrays: list[np.ndarray], length: int) -> None:
        values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device) for array in arrays]
        self._state = (values, length)

    def _empty(self) -> list[ort.OrtValue]:
        return empty_past(self._layout.tensors, self._dtype, self._device, self.batch)


class ReservedSequences(StaticCache):
    """In buffers of a reserved length."""

    def arrays(self) -> list[np.ndarray]:
        return [] if self._buffers is None else [buffer.numpy()[:, :, : self.length] for buffer in self._buffers]

    def fill(self, arrays: list[np.ndarray], length: int) -> None:
        missing = ((0, 0), (0, 0), (0, self._reserved_length - length), (0, 0))
        self._buffers = [ort.OrtValue.ortvalue_from_numpy(np.pad(array, missing), self._device) for array in arrays]
        self.length = length
