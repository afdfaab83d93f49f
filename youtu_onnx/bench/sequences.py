"""Sequences of prepared tokens that grow step by step and return to a length: what trials run on.

Shapes: B batch, S new tokens, T = tokens in the cache with them, L the whole text.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnxruntime as ort

from youtu_onnx.runtimes.cache_use import droppable
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK, Decoder
from youtu_onnx.runtimes.ort.model import OrtModel


class Sequences(Protocol):
    """B sequences of one length. Each has a text of its own, of which the cache always holds the beginning."""

    @property
    def length(self) -> int:
        """Tokens of each sequence in the cache."""

    @property
    def rows(self) -> tuple[int, ...] | None:
        """Rows that each layer keeps of each sequence; None where that is one for each token."""

    def append(self, count: int) -> None:
        """Compute the text's next tokens, logits included: all in one go, as a prompt, or a single one."""

    def rewind_to(self, length: int) -> None:
        """Drop what is behind the first ``length`` tokens; nothing if there are no more."""


class OneSequence:
    """A decoder's sequence, computed exactly as in a chat. ``ids``: ``[1, L]``."""

    def __init__(self, decoder: Decoder, ids: np.ndarray) -> None:
        self._decoder, self._ids = decoder, ids[0].tolist()

    @property
    def length(self) -> int:
        return self._decoder.length

    @property
    def rows(self) -> tuple[int, ...] | None:
        return self._decoder.rows

    def append(self, count: int) -> None:
        self._decoder.prefill(self._ids[self.length : self.length + count])

    def rewind_to(self, length: int) -> None:
        if length >= self.length:
            return
        if self._decoder.rewindable:
            self._decoder.rewind(self.length - length)
        else:
            self._decoder.reset()
            if length:
                self.append(length)


class ManySequences:
    """Sequences that are stepped together. ``ids``: ``[B, L]``.

    A step of a prompt has as many tokens over all sequences as one of a single sequence, so that the memory of its
    activations and logits is the same. The cache of the length that was last returned to is kept while longer ones are
    computed: going back to it costs nothing, and that much memory more.
    """

    def __init__(self, model: OrtModel, ids: np.ndarray) -> None:
        self._model, self._ids = model, ids
        self._chunk = max(1, PREFILL_CHUNK // len(ids))
        self._past: list[ort.OrtValue] | None = None
        self._kept: tuple[int, list[ort.OrtValue] | None] = (0, None)
        self.length = 0

    @property
    def rows(self) -> tuple[int, ...] | None:
        past = self._past or []
        return self._model.bundle.manifest.cache.rows_by_layer([value.shape()[2] for value in past]) if past else None

    def append(self, count: int) -> None:
        end = self.length + count
        while self.length < end:
            total = min(end, self.length + self._chunk)
            ids = self._ids[:, self.length : total]  # [B, S]
            positions = np.broadcast_to(np.arange(self.length, total), ids.shape)  # [B, S]
            _, self._past = self._model.run(ids, np.ones((len(ids), total), np.int64), positions, self._past, last_only=True)
            self.length = total

    def rewind_to(self, length: int) -> None:
        if length > self.length:
            return
        if length != self._kept[0]:
            self._kept = (length, self._past if length == self.length else self._cut(length))
        self.length, self._past = self._kept

    def _cut(self, length: int) -> list[ort.OrtValue] | None:
        """The cache of the first ``length`` tokens, computed again where it can't be cut."""
        if length == 0:
            return None
        assert self._past is not None
        layout = self._model.bundle.manifest.cache
        if not droppable(layout):
            self.length, self._past = 0, None
            self.append(length)
            return self._past
        if layout.length is not None:
            return self._past  # the mask drops the rest, and a step writes into buffers of its own
        kept = [np.ascontiguousarray(value.numpy()[:, :, :length]) for value in self._past]  # [B, heads, length, width]
        return [ort.OrtValue.ortvalue_from_numpy(array, self._model.device, self._model.device_id) for array in kept]
