"""Where a sequence's cache tensors are kept from one step to the next.

Shapes, here and in the implementations: S new tokens, P past tokens, T = P + S, M the reserved length of a static cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.cache import CacheTensor
from youtu_onnx.runtimes.batch import SequenceCache


class BoundCache(SequenceCache, Protocol):
    """The cache tensors of one sequence. A step binds them, runs, and commits; without the commit nothing changed.

    ``length`` is counted, not read off shapes.
    """

    @property
    def rows(self) -> tuple[int, ...] | None:
        """As :attr:`youtu_onnx.runtimes.decoder.Decoder.rows`."""

    def bind(self, binding: ort.IOBinding, count: int) -> None:
        """Bind its tensors as pasts, and the presents of P + ``count`` tokens."""

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        """Take over what the step computed."""

    def restorer(self) -> Callable[[], None]:
        """What brings back the tokens that are in it now, and drops those that steps added meanwhile."""


def empty_past(
    tensors: Sequence[CacheTensor], dtype: np.dtype, device: str, batch: int, device_id: int = 0
) -> list[ort.OrtValue]:
    """Pasts of no tokens, ``[B, heads, 0, width]`` each, in the graph's order."""
    return [
        ort.OrtValue.ortvalue_from_shape_and_type([batch, tensor.heads, 0, tensor.width], dtype.type, device, device_id)
        for tensor in tensors
    ]


def presents_of(binding: ort.IOBinding) -> list[ort.OrtValue]:
    """A step's presents: all outputs but the logits, which are bound last."""
    return list(binding.get_outputs()[:-1])
