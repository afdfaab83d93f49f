"""A cache whose buffers are bound as past and as present at once."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.cache import CacheLayout, CacheTensor
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.runtimes.cache_use import droppable


class InPlaceCache:
    """One buffer per tensor, bound as past and as present at once: a step adds rows and moves none.

    It works where a tensor has one head, as the latent form's have: then ``[1, 1, P, width]`` is the beginning of
    ``[1, 1, T, width]`` in memory, the graph's Concat copies the past onto itself, and memcpy returns at once. Without
    it each step copies the whole cache, and ONNX Runtime's arena, asked for a larger tensor each time, grows to four
    times the cache's size. Rewinding is free.

    Memory: at most 1.5 times the rows in use, and while growing one tensor more.
    """

    _FIRST = 256
    """Rows of the first buffers."""

    def __init__(self, layout: CacheLayout, context_length: int, tensors: Sequence[CacheTensor] | None = None) -> None:
        """``tensors``: those to keep; None keeps all of the layout's."""
        self._layout, self._context_length = layout, context_length
        self._tensors = tuple(tensors or layout.tensors)
        self._dtype = np.dtype(layout.dtype)
        self._buffers = [np.empty((0, tensor.width), self._dtype) for tensor in self._tensors]
        self._addresses = [0] * len(self._buffers)
        self.length = 0

    @classmethod
    def rows_for(cls, rows: int, context_length: int) -> int:
        """Rows of buffers that grow because so many are needed."""
        return max(rows, min(context_length, max(cls._FIRST, rows + rows // 2)))

    @staticmethod
    def fits(layout: CacheLayout, device: str) -> bool:
        """Whether the layout and the device allow it: on other devices the copy isn't saved, and it is not tried."""
        return device == "cpu" and layout.appends_in_place and droppable(layout)

    @property
    def rows(self) -> None:
        """One for each token."""
        return None

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffer in self._buffers)

    def bytes_with(self, count: int) -> int:
        total = self.length + count
        if total <= min(map(len, self._buffers)):
            return self.nbytes
        widths = sum(tensor.width for tensor in self._tensors)
        return self.rows_for(total, self._context_length) * widths * self._dtype.itemsize

    def bind(self, binding: ort.IOBinding, count: int, tensors: Sequence[CacheTensor] | None = None) -> None:
        """``tensors``: under whose names, where a graph has several places for a sequence."""
        total = self.length + count
        self.reserve(total)
        dtype = self._dtype.type
        for tensor, address in zip(tensors or self._tensors, self._addresses, strict=True):
            binding.bind_input(tensor.past, "cpu", 0, dtype, (1, 1, self.length, tensor.width), address)
            binding.bind_output(tensor.present, "cpu", 0, dtype, (1, 1, total, tensor.width), address)

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        self.length += count

    def truncate(self, length: int) -> None:
        self.length = length

    def copy_prefix(self, length: int) -> InPlaceCache:
        copy = InPlaceCache(self._layout, self._context_length, self._tensors)
        copy.reserve(length)
        for own, source in zip(copy._buffers, self._buffers, strict=True):
            own[:length] = source[:length]
        copy.length = length
        return copy

    @property
    def row_dtype(self) -> str:
        return str(self._dtype)

    @property
    def row_widths(self) -> tuple[int, ...]:
        return tuple(tensor.width for tensor in self._tensors)

    def stored_rows(self, length: int) -> list[np.ndarray]:
        return [buffer[:length].copy() for buffer in self._buffers]

    def restore_rows(self, rows: Sequence[np.ndarray]) -> None:
        assert self.length == 0
        count = len(rows[0])
        self.reserve(count)
        for own, source in zip(self._buffers, rows, strict=True):
            own[:count] = source
        self.length = count

    def restorer(self) -> Callable[[], None]:
        return partial(self.truncate, self.length)

    def reserve(self, rows: int) -> None:
        """Have room for so many tokens.

        Raises:
            ResourceError: no memory.
        """
        capacity = self.rows_for(rows, self._context_length)
        for index, buffer in enumerate(self._buffers):
            if len(buffer) >= rows:
                continue
            try:
                larger = _pages((capacity, buffer.shape[1]), self._dtype)
            except (MemoryError, OSError) as error:
                raise ResourceError(
                    f"no memory for a cache of {rows} tokens", hint="close other programs, or use a shorter context"
                ) from error
            larger[: self.length] = buffer[: self.length]
            self._buffers[index], self._addresses[index] = larger, larger.ctypes.data


def _pages(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """An array of the system's own pages.

    It begins at a cache line, and so do rows that are as long as some: reading them takes a third less time. And it goes back to
    the system when it is gone, where an allocator keeps the pieces, each too small for the next that is wanted.
    """
    size = shape[0] * shape[1] * dtype.itemsize
    if sys.platform == "win32":
        memory = mmap.mmap(-1, size)
    else:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, dtype).reshape(shape)
