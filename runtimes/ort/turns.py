"""A Batch for bundles without a batch graph: sequences take turns, one run of the graph for each.

Several requests are answered at once, but no faster than one after the other. It works with every provider and cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.cache import InPlaceCache, SequenceCache
from youtu_onnx.runtimes.ort.model import OrtModel, new_cache

COUNT = 4
"""Sequences that take turns: with more, each would wait long for its next token."""


class TurnsModel:
    """Implements :class:`youtu_onnx.runtimes.batch.Batch` over an :class:`OrtModel`."""

    count = COUNT

    def __init__(self, model: OrtModel) -> None:
        self.model = model
        manifest = model.bundle.manifest
        self.vocab_size, self.context_length = manifest.model.vocab_size, manifest.context_length
        self.bytes_per_token = manifest.cache.bytes_per_token

    @property
    def prefix_shareable(self) -> bool:
        cache = self.model.bundle.manifest.cache
        return cache.prefix_shareable and cache.rewindable

    def new_cache(self) -> SequenceCache:
        return new_cache(self.model)

    def cache_bytes(self, tokens: int) -> int:
        layout = self.model.bundle.manifest.cache
        if layout.length is not None:
            return layout.length * self.bytes_per_token
        in_place = InPlaceCache.fits(layout, self.model.device)
        return (InPlaceCache.rows_for(tokens, self.context_length) if in_place else tokens) * self.bytes_per_token

    def step(self, tokens: Mapping[int, tuple[SequenceCache, int]], chunk: Chunk | None = None) -> np.ndarray:
        rows = [self._append(cache, [id_]) for _, (cache, id_) in sorted(tokens.items())]
        if chunk:
            last = self._append(chunk.cache, chunk.ids)
            rows += [last] if chunk.logits else []
        return np.concatenate(rows) if rows else np.empty((0, self.vocab_size), np.float32)

    def close(self) -> None:
        self.model.close()

    def _append(self, cache: SequenceCache, ids: Sequence[int]) -> np.ndarray:
        """Logits ``[1, V]`` after the last."""
        before, total = cache.length, cache.length + len(ids)
        logits, binding = self.model.step(
            np.array([ids], np.int64),
            np.ones((1, total), np.int64),
            np.arange(before, total)[None],
            lambda binding: cache.bind(binding, len(ids)),
            last_only=True,
        )
        cache.commit(binding, len(ids))
        return logits[0]
