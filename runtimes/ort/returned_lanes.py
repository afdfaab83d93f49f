"""Lanes over caches that are what steps return: rows of any number of heads, and in each layer as many as that keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.ort.adapters import bind_adapter
from youtu_onnx.runtimes.ort.interface import LOGITS
from youtu_onnx.runtimes.ort.lanes import Lane, LaneStep, own
from youtu_onnx.runtimes.ort.returned_cache import ReturnedCache


class ReturnedLanes:
    """Implements :class:`youtu_onnx.runtimes.ort.lanes.Lanes`.

    A token that nobody wants can't be taken back here, and it may have had others' rows leave: a chunk has its own tokens only.
    """

    returns_caches, takes_more = True, False

    def __init__(self, graph: BatchGraph, logits: np.dtype) -> None:
        """``logits``: their dtype."""
        self._layout, self._logits = graph.cache, logits
        self._names = {lane: graph.tensors(lane) for lane in (*range(graph.slots), None)}
        self._dtype = np.dtype(graph.cache.dtype)
        rows = [np.zeros((1, tensor.heads, 1, tensor.width), self._dtype) for tensor in self._names[None]]
        self._nobody = [ort.OrtValue.ortvalue_from_numpy(one) for one in rows]
        self._binding: ort.IOBinding | None = None
        self._adapter: ActiveAdapter | None = None  # of the binding
        self._bound: dict[Lane, Sequence[ort.OrtValue]] = {}

    def new_cache(self) -> ReturnedCache:
        return ReturnedCache(self._layout, "cpu", tensors=self._names[None])

    def cache_bytes(self, tokens: int) -> int:
        return tokens * sum(tensor.heads * tensor.width for tensor in self._names[None]) * self._dtype.itemsize

    def run(self, session: ort.InferenceSession, step: LaneStep, adapter: ActiveAdapter | None) -> np.ndarray:
        """Outputs of lanes without a sequence are not asked for."""
        caches = {lane: own(cache, ReturnedCache) for lane, cache in step.caches.items()}
        binding = self._bound_to(session, adapter)
        binding.clear_binding_outputs()
        for name, array in step.feeds.items():
            binding.bind_cpu_input(name, array)
        for lane in step.counts:
            self._bind(binding, lane, caches[lane].values if lane in caches else self._nobody)
        logits = np.empty(step.logits, self._logits)
        binding.bind_output(LOGITS, "cpu", 0, logits.dtype.type, logits.shape, logits.ctypes.data)
        for lane in caches:
            for tensor in self._names[lane]:
                binding.bind_output(tensor.present)
        session.run_with_iobinding(binding)
        presents, each = binding.get_outputs()[1:], len(self._nobody)
        binding.clear_binding_outputs()
        for place, (lane, cache) in enumerate(caches.items()):
            cache.advance(presents[place * each : (place + 1) * each], step.kept[lane])
            self._bind(binding, lane, cache.values)  # for the next step; nothing holds the rows of this one then
        return logits

    def close(self) -> None:
        self._binding, self._adapter, self._bound = None, None, {}

    def _bound_to(self, session: ort.InferenceSession, adapter: ActiveAdapter | None) -> ort.IOBinding:
        """The binding of the step before where that had the same adapter; else a new one, since no single input is unbound."""
        if self._binding is None or adapter is not self._adapter:
            self._binding, self._adapter, self._bound = session.io_binding(), adapter, {}
            bind_adapter(self._binding, adapter)
        return self._binding

    def _bind(self, binding: ort.IOBinding, lane: Lane, values: Sequence[ort.OrtValue]) -> None:
        if self._bound.get(lane) is not values:
            self._bound[lane] = values
            for tensor, value in zip(self._names[lane], values, strict=True):
                binding.bind_ortvalue_input(tensor.past, value)
