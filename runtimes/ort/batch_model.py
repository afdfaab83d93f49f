"""The batch graph in a session: one step for several sequences, each in its own cache. See ``youtu_onnx/core/batch_graph.py``.

Shapes: D sequences with one new token, C tokens of a prompt's chunk, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from youtu_onnx.core import batch_graph
from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Chunk, SequenceCache
from youtu_onnx.runtimes.cache_use import shareable
from youtu_onnx.runtimes.failures import explain
from youtu_onnx.runtimes.ort.adapters import open_adapters
from youtu_onnx.runtimes.ort.even_rows import Rows, in_pairs
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.ort.in_place_lanes import InPlaceLanes
from youtu_onnx.runtimes.ort.interface import check_batch_interface
from youtu_onnx.runtimes.ort.lanes import Lane, Lanes, LaneStep
from youtu_onnx.runtimes.ort.prepared import Prepared, find_batch
from youtu_onnx.runtimes.ort.returned_lanes import ReturnedLanes
from youtu_onnx.runtimes.ort.session import open_graph
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.options import ProviderOptions


class BatchModel:
    """A bundle's batch graph on the CPU. Implements :class:`youtu_onnx.runtimes.batch.Batch`.

    Attributes:
        prepared: the copy with packed weights that was opened instead; None: the bundle's own graph was.
        kernels: whose compute it, as :class:`youtu_onnx.runtimes.ort.session.Opened` has it.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        *,
        options: ProviderOptions | None = None,
        find: Callable[[Bundle], Prepared | None] = find_batch,
    ) -> None:
        """
        Args:
            options: of the CPU; None leaves its defaults.
            find: where to look for a prepared copy.

        Raises:
            UsageError: the bundle has no batch graph, or an impossible number of threads.
            BundleError, ResourceError: as :class:`youtu_onnx.runtimes.ort.model.OrtModel`.
        """
        manifest = bundle.manifest
        if manifest.slots is None:
            raise UsageError(
                f"the bundle at {bundle.path} has no batch graph (target {manifest.target}, cache {manifest.cache.form})",
                hint="export it for the target cpu, with the cache that it has unless you choose",
            )
        self.bundle, self._graph = bundle, BatchGraph(manifest.cache, manifest.slots)
        opened = open_graph(bundle, names.BATCH, CPU, thread_count(threads), options or ProviderOptions(), find)
        self._open: ort.InferenceSession | None = opened.session
        self.prepared, self.kernels = opened.prepared, opened.kernels
        check_batch_interface(self._open, bundle, self._graph)
        self.vocab_size, self.context_length = manifest.model.vocab_size, manifest.context_length
        numbers = sum(one.heads * one.width for one in self._graph.tensors(None))
        self.bytes_per_token = numbers * np.dtype(manifest.cache.dtype).itemsize
        self.prefix_shareable = shareable(manifest.cache)
        self._lanes = _lanes(self._graph, self.context_length, np.dtype(manifest.graph.float_dtype))
        self.returns_caches = self._lanes.returns_caches
        self.adapters = open_adapters(bundle)

    @property
    def count(self) -> int:
        """Slots of the graph."""
        return self._graph.slots

    def new_cache(self) -> SequenceCache:
        return self._lanes.new_cache()

    def cache_bytes(self, tokens: int) -> int:
        return self._lanes.cache_bytes(tokens)

    def step(
        self,
        tokens: Mapping[int, tuple[SequenceCache, int]],
        chunk: Chunk | None = None,
        *,
        batch_invariant: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> np.ndarray:
        part = [] if chunk is None else list(chunk.ids)
        counts = np.zeros(self.count, np.int64)
        counts[list(tokens) or [0]] = 1  # the graph wants one token at least: a step of a chunk alone computes an idle one
        wanted = int(chunk is not None and chunk.logits)
        rows = Rows(len(part), wanted, wanted)
        if batch_invariant:
            made = in_pairs(counts, len(part), wanted, more=self._lanes.takes_more)
            if made is None:
                each = self.step(tokens, batch_invariant=True, adapter=adapter)
                return np.concatenate([each, self.step({}, chunk, batch_invariant=True, adapter=adapter)])
            rows = made
        part += [0] * (rows.chunk - len(part))
        in_slots = dict(sorted(tokens.items()))
        caches: dict[Lane, SequenceCache] = {slot: cache for slot, (cache, _) in in_slots.items()}
        if chunk is not None:
            caches[None] = chunk.cache
        feeds = _feeds(in_slots, counts, part, chunk.cache.length if chunk else 1, rows.of_head)
        computed: dict[Lane, int] = dict(enumerate(counts.tolist())) | {None: len(part)}
        kept: dict[Lane, int] = dict.fromkeys(in_slots, 1) | {None: len(chunk.ids) if chunk else 0}
        shape = (1, int(counts.sum()) + rows.of_head, self.vocab_size)
        try:
            logits = self._lanes.run(self._session, LaneStep(feeds, caches, computed, kept, shape), adapter)
        except YoutuOnnxError:
            raise
        except Exception as error:  # ONNX Runtime raises its own classes, all bare Exceptions
            raise explain(error, f"a step of {len(in_slots)} sequences and a chunk of {len(part)} tokens failed") from error
        return _wanted(logits, [int(counts[:slot].sum()) for slot in in_slots], rows)

    def close(self) -> None:
        self._open = None
        self._lanes.close()

    @property
    def _session(self) -> ort.InferenceSession:
        if self._open is None:
            raise UsageError("the model was closed", hint="open the bundle again")
        return self._open


def _lanes(graph: BatchGraph, context_length: int, logits: np.dtype) -> Lanes:
    if InPlaceCache.fits(graph.cache, "cpu"):
        return InPlaceLanes(graph, context_length, logits)
    return ReturnedLanes(graph, logits)


def _feeds(
    in_slots: Mapping[int, tuple[SequenceCache, int]], counts: np.ndarray, part: Sequence[int], past: int, wanted: int
) -> dict[str, np.ndarray]:
    """Inputs of a step but the pasts. ``part``: a chunk's tokens; ``past``: how many are before them; ``wanted``: of how many of
    them logits are."""
    idle = (None, 0)
    those = [in_slots.get(int(slot), idle) for slot in np.flatnonzero(counts)]
    feeds: dict[str, Any] = {
        batch_graph.SLOT_IDS: [[id_ for _, id_ in those]],
        batch_graph.SLOT_POSITIONS: [[cache.length if cache else 0 for cache, _ in those]],
        batch_graph.SLOT_TOKENS: counts,
        batch_graph.CHUNK_IDS: [part],
        batch_graph.CHUNK_POSITIONS: [range(past, past + len(part))],
        batch_graph.CHUNK_MASK: np.ones((1, past + len(part))),
        batch_graph.CHUNK_LOGITS: [wanted],
    }
    return {name: np.ascontiguousarray(value, np.int64) for name, value in feeds.items()}


def _wanted(logits: np.ndarray, places: list[int], rows: Rows) -> np.ndarray:
    """Of all logits the rows at these places, and the chunk's where it is wanted."""
    places += [logits.shape[1] + rows.last] * rows.wanted
    consecutive = np.diff(places).max(initial=1) == 1  # as they are where nothing idles: no copy then
    found = logits[0, places[0] : places[-1] + 1] if places and consecutive else logits[0, places]
    return found.astype(np.float32, copy=False)
