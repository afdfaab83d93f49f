"""The batch graph in a session: one step for several sequences, each in its own cache. See ``youtu_onnx/core/slots.py``.

Shapes: D sequences with one new token, C tokens of a prompt's chunk, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime as ort

from youtu_onnx.core import slots
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.cache import InPlaceCache
from youtu_onnx.runtimes.ort.model import LOGITS, explain, open_graph
from youtu_onnx.runtimes.ort.prepared import Prepared, find_batch
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers import providers
from youtu_onnx.runtimes.providers.options import ProviderOptions


class SlotModel:
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
        self.bundle, self.layout = bundle, slots.Slots(manifest.cache, manifest.slots)
        self._open: ort.InferenceSession | None
        self._open, self.prepared = open_graph(
            bundle, names.BATCH, providers.provider("cpu"), thread_count(threads), ProviderOptions(), find
        )
        self._check_interface()
        self._logits_dtype = np.dtype(manifest.graph.float_dtype)
        self.vocab_size, self.context_length = manifest.model.vocab_size, manifest.context_length
        self.bytes_per_token = sum(one.width for one in self.layout.tensors(None)) * np.dtype(manifest.cache.dtype).itemsize
        self._names = {lane: self.layout.tensors(lane) for lane in (*range(self.layout.count), None)}
        self._nobody = [np.zeros((2, one.width), manifest.cache.dtype) for one in self._names[None]]
        self._idle: dict[int | None, int] = {}  # lanes that nobody's rows are bound to, and how many new ones
        self._binding: ort.IOBinding | None = None

    @property
    def count(self) -> int:
        """Slots of the graph."""
        return self.layout.count

    @property
    def prefix_shareable(self) -> bool:
        cache = self.bundle.manifest.cache
        return cache.prefix_shareable and cache.rewindable

    def new_cache(self) -> InPlaceCache:
        return InPlaceCache(self.bundle.manifest.cache, self.bundle.manifest.context_length, self._names[None])

    def cache_bytes(self, tokens: int) -> int:
        return InPlaceCache.rows_for(tokens, self.context_length) * self.bytes_per_token

    def step(self, tokens: Mapping[int, tuple[InPlaceCache, int]], chunk: Chunk | None = None) -> np.ndarray:
        lanes = dict(sorted(tokens.items()))
        ids, part = [id_ for _, id_ in lanes.values()] or [0], list(chunk.ids) if chunk else []
        positions = [cache.length for cache, _ in lanes.values()] or [0]
        past = chunk.cache.length if chunk else 1
        counts = np.zeros(self.count, np.int64)
        counts[list(lanes) or [0]] = 1  # the graph wants one token at least: a step of a chunk alone computes an idle one
        wanted = int(chunk is not None and chunk.logits)
        feeds = {
            slots.SLOT_IDS: [ids],
            slots.SLOT_POSITIONS: [positions],
            slots.SLOT_TOKENS: counts,
            slots.CHUNK_IDS: [part],
            slots.CHUNK_POSITIONS: [range(past, past + len(part))],
            slots.CHUNK_MASK: np.ones((1, past + len(part))),
            slots.CHUNK_LOGITS: [wanted],
        }
        arrays = {name: np.ascontiguousarray(value, np.int64) for name, value in feeds.items()}  # alive until the run is over
        binding = self._binding = self._binding or self._session.io_binding()
        for name, array in arrays.items():
            binding.bind_cpu_input(name, array)
        for lane in range(self.count):
            self._bind(binding, lane, lanes[lane][0] if lane in lanes else None, int(counts[lane]))
        self._bind(binding, None, chunk and chunk.cache, len(part))
        logits = np.empty((1, len(ids) + wanted, self.vocab_size), self._logits_dtype)
        binding.bind_output(LOGITS, "cpu", 0, logits.dtype.type, logits.shape, logits.ctypes.data)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # the binding raises its own classes, all bare Exceptions
            raise explain(error, f"a step of {len(lanes)} sequences and a chunk of {len(part)} tokens failed") from error
        for cache, _ in lanes.values():
            cache.length += 1
        if chunk:
            chunk.cache.length += len(part)
        return logits[0, 0 if lanes else 1 :].astype(np.float32, copy=False)

    def close(self) -> None:
        self._open = self._binding = None

    @property
    def _session(self) -> ort.InferenceSession:
        if self._open is None:
            raise UsageError("the model was closed", hint="open the bundle again")
        return self._open

    def _bind(self, binding: ort.IOBinding, lane: int | None, cache: InPlaceCache | None, count: int) -> None:
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

    def _check_interface(self) -> None:
        tensors = [one for lane in (*range(self.layout.count), None) for one in self.layout.tensors(lane)]
        inputs = {
            slots.SLOT_IDS,
            slots.SLOT_POSITIONS,
            slots.SLOT_TOKENS,
            slots.CHUNK_IDS,
            slots.CHUNK_POSITIONS,
            slots.CHUNK_MASK,
            slots.CHUNK_LOGITS,
        } | {one.past for one in tensors}
        outputs = {LOGITS} | {one.present for one in tensors}
        for found, expected in ((self._session.get_inputs(), inputs), (self._session.get_outputs(), outputs)):
            if difference := expected ^ {one.name for one in found}:
                raise BundleError(
                    f"{self.bundle.path / names.BATCH} is not a batch graph of {self.layout.count} slots: "
                    f"{', '.join(sorted(difference)[:4])}",
                    hint="export the bundle again",
                )
