"""The batch graph in a session: one step for several sequences, each in its own cache. See ``youtu_onnx/core/batch_graph.py``.

Shapes: D sequences with one new token, C tokens of a prompt's chunk, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from youtu_onnx.core import batch_graph
from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Chunk, SequenceCache
from youtu_onnx.runtimes.cache_use import shareable
from youtu_onnx.runtimes.failures import explain
from youtu_onnx.runtimes.ort.adapters import bind_adapter, open_adapters
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.ort.interface import LOGITS, check_batch_interface
from youtu_onnx.runtimes.ort.prepared import Prepared, find_batch
from youtu_onnx.runtimes.ort.session import open_graph
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.options import ProviderOptions

Lane = int | None
"""A slot's number, or None: the chunk."""


@dataclass(frozen=True)
class _Rows:
    """Rows of a step's chunk.

    Attributes:
        chunk: tokens that are computed: the chunk's own, and behind them one that nobody wants.
        wanted: 1 if logits after the chunk's last own token are wanted, else 0.
        of_head: of how many last tokens logits are computed.
        last: where that row is among all logits, from the end.
    """

    chunk: int
    wanted: int
    of_head: int
    last: int = -1


def _in_pairs(counts: np.ndarray, chunk: int, wanted: int) -> _Rows:
    """Have every product compute an even number of rows, whatever the company, with tokens that nobody wants: of idle slots, and
    one behind the chunk's last.

    ONNX Runtime's kernels for int4 and int8 take rows in pairs, and one that is left over by a kernel that sums a block's
    products in another order; a float product of one row is summed otherwise than one of several. In pairs, a row comes out the
    same whatever the other rows are: tests/runtimes/test_batch_invariance.py compares it bit by bit.

    With tokens in 3 of 8 slots and a chunk of 65, logits wanted, there are 4 and 66 rows, and logits of the last 2 of the chunk,
    of which the first are those wanted.

    Args:
        counts: tokens by slot, of at least one; changed.
        chunk: tokens of the chunk.
    """
    for slot in np.flatnonzero(counts == 0):
        if counts.sum() % 2 == 0:
            break
        counts[slot] = 1
    in_slots = int(counts.sum())
    computed = chunk + (in_slots + chunk) % 2
    behind = wanted * (computed - chunk)
    of_head = wanted + behind
    return _Rows(computed, wanted, of_head + (in_slots + of_head) % 2, -1 - behind)


class BatchModel:
    """A bundle's batch graph on the CPU. Implements :class:`youtu_onnx.runtimes.batch.Batch`.

    Attributes:
        prepared: the copy with packed weights that was opened instead; None: the bundle's own graph was.
    """

    def __init__(
        self, bundle: Bundle, threads: int | None = None, *, find: Callable[[Bundle], Prepared | None] = find_batch
    ) -> None:
        """
        Args:
            find: where to look for a prepared copy.

        Raises:
            UsageError: the bundle has no batch graph, or an impossible number of threads.
            BundleError, ResourceError: as :class:`youtu_onnx.runtimes.ort.model.OrtModel`.
        """
        manifest = bundle.manifest
        if manifest.slots is None:
            raise UsageError(
                f"the bundle at {bundle.path} has no batch graph (target {manifest.target}, cache {manifest.cache.form})",
                hint="export it for the target cpu with a latent cache",
            )
        if not InPlaceCache.fits(manifest.cache, "cpu"):
            raise BundleError(
                f"the bundle at {bundle.path} has a batch graph over a cache of the form {manifest.cache.form}, to which steps "
                "don't add one row for each token",
                hint="upgrade youtu-onnx",
            )
        self.bundle, self._graph = bundle, BatchGraph(manifest.cache, manifest.slots)
        self._open: ort.InferenceSession | None
        self._open, self.prepared = open_graph(bundle, names.BATCH, CPU, thread_count(threads), ProviderOptions(), find)
        check_batch_interface(self._open, bundle, self._graph)
        self._logits_dtype = np.dtype(manifest.graph.float_dtype)
        self.vocab_size, self.context_length = manifest.model.vocab_size, manifest.context_length
        self.bytes_per_token = sum(one.width for one in self._graph.tensors(None)) * np.dtype(manifest.cache.dtype).itemsize
        self.prefix_shareable = shareable(manifest.cache)
        self._names = {lane: self._graph.tensors(lane) for lane in (*range(self._graph.slots), None)}
        self._nobody = [np.zeros((2, one.width), manifest.cache.dtype) for one in self._names[None]]
        self._idle: dict[Lane, int] = {}  # lanes that nobody's rows are bound to, and how many new ones
        self._binding: ort.IOBinding | None = None
        self._adapter: ActiveAdapter | None = None  # of the binding
        self.adapters = open_adapters(bundle)

    @property
    def count(self) -> int:
        """Slots of the graph."""
        return self._graph.slots

    def new_cache(self) -> InPlaceCache:
        return InPlaceCache(self.bundle.manifest.cache, self.bundle.manifest.context_length, self._names[None])

    def cache_bytes(self, tokens: int) -> int:
        return InPlaceCache.rows_for(tokens, self.context_length) * self.bytes_per_token

    def step(
        self,
        tokens: Mapping[int, tuple[SequenceCache, int]],
        chunk: Chunk | None = None,
        *,
        batch_invariant: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> np.ndarray:
        in_slots = {slot: (_own(cache), id_) for slot, (cache, id_) in sorted(tokens.items())}
        read = None if chunk is None else _own(chunk.cache)
        part = [] if chunk is None else list(chunk.ids)
        counts = np.zeros(self.count, np.int64)
        counts[list(in_slots) or [0]] = 1  # the graph wants one token at least: a step of a chunk alone computes an idle one
        wanted = int(chunk is not None and chunk.logits)
        rows = _in_pairs(counts, len(part), wanted) if batch_invariant else _Rows(len(part), wanted, wanted)
        part += [0] * (rows.chunk - len(part))
        arrays = _feeds(in_slots, counts, part, read.length if read else 1, rows.of_head)  # alive until the run is over
        binding = self._bound_to(adapter)
        for name, array in arrays.items():
            binding.bind_cpu_input(name, array)
        for slot in range(self.count):
            self._bind(binding, slot, in_slots[slot][0] if slot in in_slots else None, int(counts[slot]))
        self._bind(binding, None, read, len(part))
        logits = np.empty((1, int(counts.sum()) + rows.of_head, self.vocab_size), self._logits_dtype)
        binding.bind_output(LOGITS, "cpu", 0, logits.dtype.type, logits.shape, logits.ctypes.data)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # the binding raises its own classes, all bare Exceptions
            raise explain(error, f"a step of {len(in_slots)} sequences and a chunk of {len(part)} tokens failed") from error
        for cache, _ in in_slots.values():
            cache.commit(binding, 1)
        if chunk and read:
            read.commit(binding, len(chunk.ids))
        places = [int(counts[:slot].sum()) for slot in in_slots] + [logits.shape[1] + rows.last] * rows.wanted
        consecutive = np.diff(places).max(initial=1) == 1  # as they are where nothing idles: no copy then
        found = logits[0, places[0] : places[-1] + 1] if places and consecutive else logits[0, places]
        return found.astype(np.float32, copy=False)

    def close(self) -> None:
        self._open = self._binding = self._adapter = None

    @property
    def _session(self) -> ort.InferenceSession:
        if self._open is None:
            raise UsageError("the model was closed", hint="open the bundle again")
        return self._open

    def _bound_to(self, adapter: ActiveAdapter | None) -> ort.IOBinding:
        """The binding of the step before where that had the same adapter; else a new one, since no single input is unbound."""
        if self._binding is None or adapter is not self._adapter:
            self._binding, self._adapter, self._idle = self._session.io_binding(), adapter, {}
            bind_adapter(self._binding, adapter)
        return self._binding

    def _bind(self, binding: ort.IOBinding, lane: Lane, cache: InPlaceCache | None, count: int) -> None:
        """A sequence's buffers; where there is none, one row of nobody's and room for one more. What idles stays bound."""
        if cache is not None:
            self._idle.pop(lane, None)
            cache.bind(binding, count, self._names[lane])
        elif self._idle.get(lane) != count:
            self._idle[lane] = count
            for tensor, buffer in zip(self._names[lane], self._nobody, strict=True):
                dtype, width, address = buffer.dtype.type, buffer.shape[1], buffer.ctypes.data
                binding.bind_input(tensor.past, "cpu", 0, dtype, (1, 1, 1, width), address)
                binding.bind_output(tensor.present, "cpu", 0, dtype, (1, 1, 1 + count, width), address)


def _feeds(
    in_slots: Mapping[int, tuple[InPlaceCache, int]], counts: np.ndarray, part: Sequence[int], past: int, wanted: int
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


def _own(cache: SequenceCache) -> InPlaceCache:
    if not isinstance(cache, InPlaceCache):
        raise UsageError(f"{type(cache).__name__} is no cache of this batch", hint="take one from new_cache()")
    return cache
