"""A cache of reserved length, and what graphs want that write into one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import BundleError, ResourceError, UsageError
from youtu_onnx.runtimes.cache_use import droppable


class StaticCache:
    """Buffers of a reserved length, each bound as past and as present: the graph writes a step's rows into them.

    The attention mask says which rows are in use, so rewinding is free. Memory: ``batch`` times ``length`` rows, taken with the
    first step.
    """

    def __init__(self, layout: CacheLayout, device: str, device_id: int = 0, batch: int = 1) -> None:
        """
        Raises:
            BundleError: a layout whose rows in use the mask can't tell.
        """
        if layout.length is None or not droppable(layout):
            raise BundleError(
                f"a cache of the form {layout.form} can't be held in buffers of a reserved length: its rows aren't one for each "
                "token",
                hint="upgrade youtu-onnx, or export the bundle for another target",
            )
        self._layout, self._device, self._device_id, self.batch = layout, device, device_id, batch
        self._reserved_length = layout.length
        self._buffers: list[ort.OrtValue] | None = None
        self.length = 0

    @property
    def rows(self) -> None:
        """One for each token."""
        return None

    @property
    def nbytes(self) -> int:
        return self.batch * self._reserved_length * self._layout.bytes_per_token if self._buffers else 0

    def bytes_with(self, count: int) -> int:
        return self.batch * self._reserved_length * self._layout.bytes_per_token

    def bind(self, binding: ort.IOBinding, count: int) -> None:
        for tensor, buffer in zip(self._layout.tensors, self._reserved(), strict=True):
            binding.bind_ortvalue_input(tensor.past, buffer)
            binding.bind_ortvalue_output(tensor.present, buffer)

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        self.length += count

    def truncate(self, length: int) -> None:
        self.length = length

    def copy_prefix(self, length: int) -> StaticCache:
        copy = StaticCache(self._layout, self._device, self._device_id, self.batch)
        for buffer, source in zip(copy._reserved(), self._reserved(), strict=True):
            buffer.update_inplace(source.numpy())
        copy.length = length
        return copy

    def restorer(self) -> Callable[[], None]:
        return partial(self.truncate, self.length)

    def _reserved(self) -> list[ort.OrtValue]:
        if self._buffers is None:
            self._buffers = reserved_past(self._layout, self._device, self.batch, self._device_id)
        return self._buffers


def reserved_past(layout: CacheLayout, device: str, batch: int, device_id: int = 0) -> list[ort.OrtValue]:
    """A static cache's buffers ``[B, heads, M, width]``, whatever is in their memory, in the graph's order.

    Raises:
        ResourceError: no memory.
    """
    length = layout.length or 0
    try:
        return [
            ort.OrtValue.ortvalue_from_shape_and_type(
                [batch, tensor.heads, length, tensor.width], np.dtype(layout.dtype).type, device, device_id
            )
            for tensor in layout.tensors
        ]
    except (MemoryError, RuntimeError) as error:
        raise ResourceError(
            f"no memory for a cache of {length:,} tokens, which this bundle reserves "
            f"({batch * length * layout.bytes_per_token / 1e6:,.0f} MB)",
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
