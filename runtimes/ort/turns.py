"""A Batch for bundles without a batch graph: sequences take turns, one run of the graph for each.

Several requests are answered at once, but no faster than one after the other. It works with every provider and cache.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Chunk, SequenceCache
from youtu_onnx.runtimes.cache_use import shareable
from youtu_onnx.runtimes.ort.cache import BoundCache
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.returned_cache import ReturnedCache
from youtu_onnx.runtimes.ort.static_cache import StaticCache

COUNT = 4
"""Sequences that take turns: with more, each would wait long for its next token."""


class TurnsModel:
    """Implements :class:`youtu_onnx.runtimes.batch.Batch` over an :class:`OrtModel`."""

    count = COUNT
    returns_caches = False
    """One at a time."""

    def __init__(self, model: OrtModel) -> None:
        self.model, self.adapters = model, model.adapters
        manifest = model.bundle.manifest
        self.vocab_size, self.context_length = manifest.model.vocab_size, manifest.context_length
        self.bytes_per_token = manifest.cache.bytes_per_token
        self.prefix_shareable = shareable(manifest.cache)

    def new_cache(self) -> BoundCache:
        return self.model.new_cache()

    def cache_bytes(self, tokens: int) -> int:
        layout = self.model.bundle.manifest.cache
        if layout.length is not None:
            return layout.length * self.bytes_per_token
        in_place = InPlaceCache.fits(layout, self.model.device)
        return (InPlaceCache.rows_for(tokens, self.context_length) if in_place else tokens) * self.bytes_per_token

    def step(
        self,
        tokens: Mapping[int, tuple[SequenceCache, int]],
        chunk: Chunk | None = None,
        *,
        batch_invariant: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> np.ndarray:
        """``batch_invariant``: each is alone anyway."""
        rows = [
            self.model.append(_own(cache), [id_], last_only=True, adapter=adapter) for _, (cache, id_) in sorted(tokens.items())
        ]
        if chunk:
            last = self.model.append(_own(chunk.cache), chunk.ids, last_only=True, adapter=adapter)
            rows += [last] if chunk.logits else []
        return np.concatenate(rows) if rows else np.empty((0, self.vocab_size), np.float32)

    def close(self) -> None:
        self.model.close()


def _own(cache: SequenceCache) -> BoundCache:
    if not isinstance(cache, InPlaceCache | ReturnedCache | StaticCache):
        raise UsageError(f"{type(cache).__name__} is no cache of this batch", hint="take one from new_cache()")
    return cache
