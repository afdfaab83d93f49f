"""Where an OrtDecoder keeps its sequence: in place where the cache's shape allows it, else as each step returns it.

Shapes: S new tokens, P past tokens, T = P + S, M the reserved length of a static cache; one sequence, so B = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.cache import CacheLayout, CacheTensor
from youtu_onnx.core.errors import ResourceError, UsageError


class SequenceCache(Protocol):
    """The cache tensors of one sequence. A step binds them, runs, and commits; without the commit nothing changed."""

    @property
    def length(self) -> int:
        """P, the tokens that are in it."""

    def bind(self, binding: ort.IOBinding, count: int) -> None:
        """Bind pasts of P and presents of P + ``count`` tokens."""

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        """Take over what the step computed."""

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` tokens."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""

    def begin_like(self, other: SequenceCache, length: int) -> None:
        """Hold the first ``length`` tokens of another cache of the same kind and layout, and nothing else."""


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
        self._tensors = tuple(tensors or layout.tensors)
        self._dtype = np.dtype(layout.dtype)
        self._context_length = context_length
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
        return device == "cpu" and layout.appends_in_place

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

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffer in self._buffers)

    def begin_like(self, other: InPlaceCache, length: int) -> None:
        self.length = 0
        self.reserve(length)
        for own, source in zip(self._buffers, other._buffers, strict=True):
            own[:length] = source[:length]
        self.length = length

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
                larger = np.empty((capacity, buffer.shape[1]), self._dtype)
            except MemoryError as error:
                raise ResourceError(
                    f"no memory for a cache of {rows} tokens", hint="close other programs, or use a shorter context"
                ) from error
            larger[: self.length] = buffer[: self.length]
            self._buffers[index], self._addresses[index] = larger, larger.ctypes.data


class ReturnedCache:
    """The presents of the last step are the pasts of the next: works with every layout and device."""

    def __init__(self, layout: CacheLayout, device: str, device_id: int = 0) -> None:
        self._tensors, self._device, self._device_id = layout.tensors, device, device_id
        self._dtype = np.dtype(layout.dtype)
        # Values and length change in one assignment, so that an interrupt between two statements can't part them.
        self._state: tuple[list[ort.OrtValue], int] = (self._empty(), 0)

    @property
    def length(self) -> int:
        return self._state[1]

    def bind(self, binding: ort.IOBinding, count: int) -> None:
        for tensor, value in zip(self._tensors, self._state[0], strict=True):
            binding.bind_ortvalue_input(tensor.past, value)
            binding.bind_output(tensor.present, self._device, self._device_id)

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        self._state = (presents_of(binding), self.length + count)

    def truncate(self, length: int) -> None:
        if length == 0:
            self._state = (self._empty(), 0)
        elif length < self.length:
            kept = [np.ascontiguousarray(value.numpy()[:, :, :length]) for value in self._state[0]]
            self._state = ([ort.OrtValue.ortvalue_from_numpy(array, self._device, self._device_id) for array in kept], length)

    @property
    def nbytes(self) -> int:
        return sum(np.prod(value.shape(), dtype=np.int64).item() for value in self._state[0]) * self._dtype.itemsize

    def begin_like(self, other: ReturnedCache, length: int) -> None:
        self._state = other._state  # a step makes new tensors and leaves these as they are
        self.truncate(length)

    def _empty(self) -> list[ort.OrtValue]:
        return empty_past(self._tensors, self._dtype, self._device, batch=1, device_id=self._device_id)


class StaticCache:
    """Buffers of a reserved length, each bound as past and as present: the graph writes a step's rows into them.

    The attention mask says which rows are in use, so rewinding is free. Memory: ``batch`` times ``length`` rows, taken with the
    first step.
    """

    def __init__(self, layout: CacheLayout, device: str, device_id: int = 0, batch: int = 1) -> None:
        self._layout, self._device, self._device_id, self.batch = layout, device, device_id, batch
        self._buffers: list[ort.OrtValue] | None = None
        self.length = 0

    @property
    def nbytes(self) -> int:
        return self.batch * self._layout.length * self._layout.bytes_per_token if self._buffers else 0

    def begin_like(self, other: StaticCache, length: int) -> None:
        for buffer, source in zip(self._reserved(), other._reserved(), strict=True):
            buffer.update_inplace(source.numpy())
        self.length = length

    def _reserved(self) -> list[ort.OrtValue]:
        if self._buffers is None:
            self._buffers = first_past(self._layout, self._device, self.batch, self._device_id)
        return self._buffers

    def bind(self, binding: ort.IOBinding, count: int) -> None:
        for tensor, buffer in zip(self._layout.tensors, self._reserved(), strict=True):
            binding.bind_ortvalue_input(tensor.past, buffer)
            binding.bind_ortvalue_output(tensor.present, buffer)

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        self.length += count

    def truncate(self, length: int) -> None:
        self.length = length


def presents_of(binding: ort.IOBinding) -> list[ort.OrtValue]:
    """A step's presents: all outputs but the logits, which are bound last."""
    return list(binding.get_outputs()[:-1])


def first_past(layout: CacheLayout, device: str, batch: int, device_id: int = 0) -> list[ort.OrtValue]:
    """What a first step takes: pasts of no tokens, or a static cache's buffers, whatever is in their memory.

    Raises:
        ResourceError: no memory for the buffers.
    """
    if layout.length is None:
        return empty_past(layout.tensors, np.dtype(layout.dtype), device, batch, device_id)
    try:
        return [
            ort.OrtValue.ortvalue_from_shape_and_type(
                [batch, tensor.heads, layout.length, tensor.width], np.dtype(layout.dtype).type, device, device_id
            )
            for tensor in layout.tensors
        ]
    except (MemoryError, RuntimeError) as error:
        raise ResourceError(
            f"no memory for a cache of {layout.length:,} tokens, which this bundle reserves "
            f"({batch * layout.length * layout.bytes_per_token / 1e6:,.0f} MB)",
            hint="close other programs, or export with a smaller --max-length",
        ) from error


def full_mask(mask: np.ndarray, length: int) -> np.ndarray:
    """``[B, T]`` → ``[B, M]``, as graphs with a static cache take it. They find T by the mask's last one.

    Where column T has padding alone, its first is marked for this step: only its own logits see it, which nobody reads, and the
    next step's mask drops it.

    Raises:
        UsageError: more tokens than were reserved.
    """
    total = mask.shape[1]
    if total > length:
        raise UsageError(
            f"{total} tokens are more than the {length} that this bundle reserves",
            hint="shorten the prompt, or export with a larger --max-length",
        )
    padded = np.pad(mask, ((0, 0), (0, length - total)))
    if not mask[:, -1].any():
        padded[0, total - 1] = 1
    return padded


def empty_past(
    tensors: Sequence[CacheTensor], dtype: np.dtype, device: str, batch: int, device_id: int = 0
) -> list[ort.OrtValue]:
    """Pasts of no tokens, ``[B, heads, 0, width]`` each, in the graph's order."""
    return [
        ort.OrtValue.ortvalue_from_shape_and_type([batch, tensor.heads, 0, tensor.width], dtype.type, device, device_id)
        for tensor in tensors
    ]
