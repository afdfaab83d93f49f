"""Lanes over caches that grow where they are."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.ort.adapters import bind_adapter
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.ort.interface import LOGITS
from youtu_onnx.runtimes.ort.lanes import Lane, LaneStep, own


class InPlaceLanes:
    """Implements :class:`youtu_onnx.runtimes.ort.lanes.Lanes`. What idles stays bound from one step to the next."""

    returns_caches, takes_more = False, True

    def __init__(self, graph: BatchGraph, context_length: int, logits: np.dtype) -> None:
        """``logits``: their dtype."""
        self._layout, self._context_length, self._logits = graph.cache, context_length, logits
        self._names = {lane: graph.tensors(lane) for lane in (*range(graph.slots), None)}
        self._nobody = [np.zeros((2, one.width), graph.cache.dtype) for one in self._names[None]]
        self._row_bytes = sum(one.width for one in self._names[None]) * np.dtype(graph.cache.dtype).itemsize
        self._idle: dict[Lane, int] = {}  # lanes that nobody's rows are bound to, and how many new ones
        self._binding: ort.IOBinding | None = None
        self._adapter: ActiveAdapter | None = None  # of the binding

    def new_cache(self) -> InPlaceCache:
        return InPlaceCache(self._layout, self._context_length, self._names[None])

    def cache_bytes(self, tokens: int) -> int:
        return InPlaceCache.rows_for(tokens, self._context_length) * self._row_bytes

    def run(self, session: ort.InferenceSession, step: LaneStep, adapter: ActiveAdapter | None) -> np.ndarray:
        caches = {lane: own(cache, InPlaceCache) for lane, cache in step.caches.items()}
        binding = self._bound_to(session, adapter)
        for name, array in step.feeds.items():
            binding.bind_cpu_input(name, array)
        for lane, count in step.counts.items():
            self._bind(binding, lane, caches.get(lane), count)
        logits = np.empty(step.logits, self._logits)
        binding.bind_output(LOGITS, "cpu", 0, logits.dtype.type, logits.shape, logits.ctypes.data)
        session.run_with_iobinding(binding)
        for lane, cache in caches.items():
            cache.commit(binding, step.kept[lane])
        return logits

    def close(self) -> None:
        self._binding = self._adapter = None

    def _bound_to(self, session: ort.InferenceSession, adapter: ActiveAdapter | None) -> ort.IOBinding:
        """The binding of the step before where that had the same adapter; else a new one, since no single input is unbound."""
        if self._binding is None or adapter is not self._adapter:
            self._binding, self._adapter, self._idle = session.io_binding(), adapter, {}
            bind_adapter(self._binding, adapter)
        return self._binding

    def _bind(self, binding: ort.IOBinding, lane: Lane, cache: InPlaceCache | None, count: int) -> None:
        """A sequence's buffers; where there is none, one row of nobody's and room for one more."""
        if cache is not None:
            self._idle.pop(lane, None)
            cache.bind(binding, count, self._names[lane])
        elif self._idle.get(lane) != count:
            self._idle[lane] = count
            for tensor, buffer in zip(self._names[lane], self._nobody, strict=True):
                dtype, width, address = buffer.dtype.type, buffer.shape[1], buffer.ctypes.data
                binding.bind_input(tensor.past, "cpu", 0, dtype, (1, 1, 1, width), address)
                binding.bind_output(tensor.present, "cpu", 0, dtype, (1, 1, 1 + count, width), address)
