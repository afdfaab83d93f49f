"""Sequences' caches at the places that a batch graph has for them: its slots, and its chunk.

A graph adds rows to caches in place where their layout allows that, and else returns what the next step takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.batch import SequenceCache
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.ort.returned_cache import ReturnedCache

Lane = int | None
"""A slot's number, or None: the chunk."""
C = TypeVar("C", InPlaceCache, ReturnedCache)


class Lanes(Protocol):
    """Where a step's sequences are.

    Attributes:
        returns_caches: as :attr:`youtu_onnx.runtimes.batch.Batch.returns_caches`.
        takes_more: whether a chunk may be computed with tokens behind its own, and only its own be kept.
    """

    returns_caches: bool
    takes_more: bool

    def new_cache(self) -> SequenceCache: ...

    def cache_bytes(self, tokens: int) -> int: ...

    def forget(self) -> None:
        """Nothing is bound any more: the next binding is a new one."""

    def bind(self, binding: ort.IOBinding, caches: Mapping[Lane, SequenceCache], counts: Mapping[Lane, int]) -> None:
        """Bind every lane's pasts and presents; before any other output.

        Args:
            caches: of lanes that have a sequence.
            counts: new tokens in every lane; those of lanes without a sequence are nobody's.

        Raises:
            UsageError: a cache of another kind.
            ResourceError: no memory.
        """

    def commit(self, binding: ort.IOBinding, caches: Mapping[Lane, SequenceCache], kept: Mapping[Lane, int]) -> None:
        """Take over what a step computed, of so many tokens by lane."""


class InPlaceLanes:
    """Over caches that grow where they are. Implements :class:`Lanes`."""

    returns_caches, takes_more = False, True

    def __init__(self, graph: BatchGraph, context_length: int) -> None:
        self._layout, self._context_length = graph.cache, context_length
        self._names = {lane: graph.tensors(lane) for lane in (*range(graph.slots), None)}
        self._nobody = [np.zeros((2, one.width), graph.cache.dtype) for one in self._names[None]]
        self._row_bytes = sum(one.width for one in self._names[None]) * np.dtype(graph.cache.dtype).itemsize
        self._idle: dict[Lane, int] = {}  # lanes that nobody's rows are bound to, and how many new ones

    def new_cache(self) -> InPlaceCache:
        return InPlaceCache(self._layout, self._context_length, self._names[None])

    def cache_bytes(self, tokens: int) -> int:
        return InPlaceCache.rows_for(tokens, self._context_length) * self._row_bytes

    def forget(self) -> None:
        self._idle = {}

    def bind(self, binding: ort.IOBinding, caches: Mapping[Lane, SequenceCache], counts: Mapping[Lane, int]) -> None:
        """What idles stays bound, to one row of nobody's and room for one more."""
        for lane, count in counts.items():
            if lane in caches:
                self._idle.pop(lane, None)
                own(caches[lane], InPlaceCache).bind(binding, count, self._names[lane])
            elif self._idle.get(lane) != count:
                self._idle[lane] = count
                for tensor, buffer in zip(self._names[lane], self._nobody, strict=True):
                    dtype, width, address = buffer.dtype.type, buffer.shape[1], buffer.ctypes.data
                    binding.bind_input(tensor.past, "cpu", 0, dtype, (1, 1, 1, width), address)
                    binding.bind_output(tensor.present, "cpu", 0, dtype, (1, 1, 1 + count, width), address)

    def commit(self, binding: ort.IOBinding, caches: Mapping[Lane, SequenceCache], kept: Mapping[Lane, int]) -> None:
        for lane, cache in caches.items():
            own(cache, InPlaceCache).commit(binding, kept[lane])


class ReturnedLanes:
    """Over caches that are what steps return, in rows of as many heads as there are and of each layer's own number. Implements
    :class:`Lanes`.

    A row that nobody wants can't be told apart in them, and it would have others leave: a chunk is computed as it is.
    """

    returns_caches, takes_more = True, False

    def __init__(self, graph: BatchGraph) -> None:
        self._layout = graph.cache
        self._names = {lane: graph.tensors(lane) for lane in (*range(graph.slots), None)}
        dtype = np.dtype(graph.cache.dtype)
        self._nobody = [ort.OrtValue.ortvalue_from_numpy(np.zeros((1, t.heads, 1, t.width), dtype)) for t in self._names[None]]
        self._row_bytes = sum(t.heads * t.width for t in self._names[None]) * dtype.itemsize
        self._idle: set[Lane] = set()  # lanes that nobody's rows are bound to

    def new_cache(self) -> ReturnedCache:
        return ReturnedCache(self._layout, "cpu", tensors=self._names[None])

    def cache_bytes(self, tokens: int) -> int:
        return tokens * self._row_bytes

    def forget(self) -> None:
        self._idle = set()

    def bind(self, binding: ort.IOBinding, caches: Mapping[Lane, SequenceCache], counts: Mapping[Lane, int]) -> None:
        """Outputs that nobody wants are not asked for."""
        binding.clear_binding_outputs()
        for lane, count in counts.items():
            if lane in caches:
                self._idle.discard(lane)
                own(caches[lane], ReturnedCache).bind(binding, count, self._names[lane])
            elif lane not in self._idle:
                self._idle.add(lane)
                for tensor, value in zip(self._names[lane], self._nobody, strict=True):
                    binding.bind_ortvalue_input(tensor.past, value)

    def commit(self, binding: ort.IOBinding, caches: Mapping[Lane, SequenceCache], kept: Mapping[Lane, int]) -> None:
        presents, count = binding.get_outputs(), len(self._nobody)
        binding.clear_binding_outputs()  # it would hold them
        for place, (lane, cache) in enumerate(caches.items()):
            own(cache, ReturnedCache).advance(presents[place * count : (place + 1) * count], kept[lane])


def lanes_of(graph: BatchGraph, context_length: int) -> Lanes:
    return InPlaceLanes(graph, context_length) if InPlaceCache.fits(graph.cache, "cpu") else ReturnedLanes(graph)


def own(cache: SequenceCache, kind: type[C]) -> C:
    """
    Raises:
        UsageError: it is none that this batch made.
    """
    if not isinstance(cache, kind):
        raise UsageError(f"{type(cache).__name__} is no cache of this batch", hint="take one from new_cache()")
    return cache
