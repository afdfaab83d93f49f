"""A cache that is what each step returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.cache import CacheLayout, CacheTensor
from youtu_onnx.runtimes.cache_use import check_kept, droppable
from youtu_onnx.runtimes.ort.cache import empty_past, presents_of

State = tuple[list[ort.OrtValue], int]
"""The tensors of a cache, and the tokens in them."""


class ReturnedCache:
    """The presents of the last step are the pasts of the next: works with every layout and device, also where layers cache
    different numbers of tokens."""

    def __init__(
        self, layout: CacheLayout, device: str, device_id: int = 0, tensors: Sequence[CacheTensor] | None = None
    ) -> None:
        """``tensors``: those to keep; None keeps all of the layout's."""
        self._layout, self._device, self._device_id = layout, device, device_id
        self._tensors = tuple(tensors or layout.tensors)
        self._dtype = np.dtype(layout.dtype)
        # Values and length change in one assignment, so that an interrupt between two statements can't part them.
        self._state: State = (self._empty(), 0)
        self._nbytes: int | None = None  # of this state, where somebody asked

    @property
    def length(self) -> int:
        return self._state[1]

    @property
    def rows(self) -> tuple[int, ...] | None:
        return self._layout.rows_by_layer([value.shape()[2] for value in self._state[0]])

    @property
    def values(self) -> list[ort.OrtValue]:
        return self._state[0]

    @property
    def nbytes(self) -> int:
        if self._nbytes is None:  # asked for often, and shapes are slow
            numbers = sum(math.prod(value.shape()) for value in self._state[0])
            self._nbytes = numbers * self._dtype.itemsize
        return self._nbytes

    def bytes_with(self, count: int) -> int:
        return self.nbytes + count * sum(tensor.heads * tensor.width for tensor in self._tensors) * self._dtype.itemsize

    def bind(self, binding: ort.IOBinding, count: int) -> None:
        for tensor, value in zip(self._tensors, self._state[0], strict=True):
            binding.bind_ortvalue_input(tensor.past, value)
            binding.bind_output(tensor.present, self._device, self._device_id)

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        self.advance(presents_of(binding), count)

    def advance(self, presents: list[ort.OrtValue], count: int) -> None:
        """Take over what a step of so many tokens returned."""
        self._restore((presents, self.length + count))

    def truncate(self, length: int) -> None:
        check_kept(self._layout, length, self.length)
        if length == 0:
            self._restore((self._empty(), 0))
        elif length < self.length:
            kept = [np.ascontiguousarray(value.numpy()[:, :, :length]) for value in self._state[0]]
            self._restore(([ort.OrtValue.ortvalue_from_numpy(array, self._device, self._device_id) for array in kept], length))

    def copy_prefix(self, length: int) -> ReturnedCache:
        copy = ReturnedCache(self._layout, self._device, self._device_id, self._tensors)
        copy._state = self._state  # a step makes new tensors and leaves these as they are
        copy.truncate(length)
        return copy

    def restorer(self) -> Callable[[], None]:
        if droppable(self._layout):
            return partial(self.truncate, self.length)  # holds no tensors
        return partial(self._restore, self._state)

    def _restore(self, state: State) -> None:
        self._nbytes = None
        self._state = state

    def _empty(self) -> list[ort.OrtValue]:
        return empty_past(self._tensors, self._dtype, self._device, batch=1, device_id=self._device_id)
