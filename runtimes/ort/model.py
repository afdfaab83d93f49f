"""A bundle on ONNX Runtime: its graph in a session, without a sequence.

Shapes: B batch, S new tokens, P past tokens, T = P + S, V vocabulary. Cache tensors stay on the provider's device
from one step to the next; numpy sees token ids and logits only. Masks are ``[B, T]`` here, also where a static cache's graph
takes longer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import ProviderError, UsageError, YoutuOnnxError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.decoder import check_ids
from youtu_onnx.runtimes.failures import explain
from youtu_onnx.runtimes.ort.adapters import bind_adapter, open_adapters
from youtu_onnx.runtimes.ort.cache import BoundCache, empty_past, presents_of
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.ort.interface import (
    ATTENTION_MASK,
    INPUT_IDS,
    LOGITS,
    LOGITS_TO_KEEP,
    POSITION_IDS,
    check_interface,
    has_logits_to_keep,
)
from youtu_onnx.runtimes.ort.padding import left_pad
from youtu_onnx.runtimes.ort.placement import Placement
from youtu_onnx.runtimes.ort.prepared import Prepared
from youtu_onnx.runtimes.ort.prepared import find as find_prepared
from youtu_onnx.runtimes.ort.returned_cache import ReturnedCache
from youtu_onnx.runtimes.ort.session import open_graph
from youtu_onnx.runtimes.ort.static_cache import StaticCache, full_mask, reserved_past
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers.advice import advise
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.plugins import available, plugin_failure
from youtu_onnx.runtimes.providers.providers import chosen
from youtu_onnx.runtimes.providers.resolve import resolve


class OrtModel:
    """A bundle's graph in a session. Holds no sequence, and may serve several at once.

    Attributes:
        bundle: the bundle it was made of.
        provider: the provider that runs it, for certain: nothing falls back silently.
        device: where its cache tensors are, in ONNX Runtime's words.
        device_id: which of several such devices.
        prepared: the copy with packed weights that was opened instead of the bundle's graph; None: the bundle's own was.
        kernels: whose compute it, as :class:`youtu_onnx.runtimes.ort.session.Opened` has it.
        adapters: those that steps can be computed with; None where the graph takes none.
    """

    def __init__(
        self,
        bundle: Bundle,
        provider: str | None = None,
        threads: int | None = None,
        *,
        options: ProviderOptions | None = None,
        require_provider: bool = False,
        find: Callable[[Bundle], Prepared | None] = find_prepared,
    ) -> None:
        """Open ``model.onnx``, or on the CPU its prepared copy.

        Args:
            provider: a name as in ``--provider``; None takes the one that the bundle was exported for.
            threads: of the CPU provider; None takes one per physical core.
            options: of the provider; None leaves its defaults.
            require_provider: let no node run elsewhere but what :mod:`youtu_onnx.conformance.host` excuses.
            find: where to look for a prepared copy.

        Raises:
            UsageError: unknown provider, impossible number of threads, options that the provider doesn't have.
            ProviderError: the provider isn't installed or can't start, or leaves heavy nodes to the CPU.
            BundleError: the graph is damaged, or isn't what the manifest says.
            ResourceError: too little memory.
        """
        self.bundle = bundle
        wanted = chosen(provider, bundle.manifest.graph.provider)
        self.provider = resolve(provider, bundle.manifest.graph.provider, available(wanted), plugin_failure(wanted))
        self._cache = bundle.manifest.cache
        self.device = self.provider.device
        options = options or ProviderOptions()
        self.device_id = (options.device_id or 0) if self.device != "cpu" else 0
        opened = open_graph(bundle, names.MODEL, self.provider, thread_count(threads), options, find)
        self._session: ort.InferenceSession | None = opened.session
        self.prepared, self.kernels = opened.prepared, opened.kernels
        if self.provider.name != "cpu":  # nothing lies behind the CPU
            self.placement.check(require=require_provider)
        self._by_mask, self._by_input = bundle.manifest.graph.mask_keeps_logits, has_logits_to_keep(self._session)
        check_interface(self._session, bundle)
        self.adapters = open_adapters(bundle)
        self._vocab_size = bundle.manifest.model.vocab_size
        self._logits_dtype = np.dtype(bundle.manifest.graph.float_dtype)

    @property
    def session(self) -> ort.InferenceSession:
        """The session underneath.

        Raises:
            UsageError: the model was closed.
        """
        if self._session is None:
            raise UsageError("the model was closed", hint="open the bundle again")
        return self._session

    @cached_property
    def placement(self) -> Placement:
        """On which provider each node runs."""
        return Placement.of(self.session, self.provider)

    def close(self) -> None:
        """Free the session; closing twice does no harm."""
        self._session = None

    def run(
        self,
        input_ids: np.ndarray,
        attention_mask: np.ndarray,
        position_ids: np.ndarray,
        past: Sequence[ort.OrtValue] | None = None,
        *,
        last_only: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> tuple[np.ndarray, list[ort.OrtValue]]:
        """One step.

        Args:
            input_ids: ``[B, S]`` int64.
            attention_mask: ``[B, T]`` int64, zero where a token is padding.
            position_ids: ``[B, S]`` int64.
            past: what the step before returned; None for the first.
            last_only: as in :meth:`step`.
            adapter: one of :attr:`adapters`; None: none.

        Returns:
            Logits ``[B, S, V]`` float32, or ``[B, 1, V]`` with ``last_only``, and the presents, the next step's past.

        Raises:
            UsageError: more tokens than a static cache has room for.
            ResourceError: out of memory.
            BundleError: the graph can't be run.
        """
        pasts = self._first_past(len(input_ids)) if past is None else past

        def bind(binding: ort.IOBinding) -> None:
            for tensor, value in zip(self._cache.tensors, pasts, strict=True):
                binding.bind_ortvalue_input(tensor.past, value)
                binding.bind_output(tensor.present, self.device, self.device_id)

        logits, binding = self.step(input_ids, attention_mask, position_ids, bind, last_only=last_only, adapter=adapter)
        return logits, presents_of(binding)

    def run_batch(self, prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray, list[ort.OrtValue]]:
        """The first step of several prompts at once, left-padded to one length S.

        Returns:
            Logits ``[B, S, V]`` (the last row of each prompt is its own), the mask ``[B, S]``, and the presents.
        """
        for prompt in prompts:
            check_ids(
                prompt,
                length=0,
                context_length=self.bundle.manifest.context_length,
                vocab_size=self.bundle.manifest.model.vocab_size,
            )
        ids, mask, positions = left_pad(prompts, pad_id)
        logits, presents = self.run(ids, mask, positions)
        return logits, mask, presents

    def step(
        self,
        input_ids: np.ndarray,
        attention_mask: np.ndarray,
        position_ids: np.ndarray,
        bind_cache: Callable[[ort.IOBinding], None],
        *,
        last_only: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> tuple[np.ndarray, ort.IOBinding]:
        """:meth:`run` for callers that hold the cache tensors themselves and bind them. Returns the logits and what was bound:
        :func:`youtu_onnx.runtimes.ort.cache.presents_of` it are the presents.

        ``last_only``: logits ``[B, 1, V]`` of the last position. Graphs that can do so don't compute the others: of a
        prompt's arithmetic the head is an eighth, and ``[B, S, V]`` by far a step's largest tensor.
        """
        session = self.session
        if self._cache.length is not None:
            attention_mask = full_mask(attention_mask, self._cache.length)
        new = keep = input_ids.shape[1]
        if last_only and (self._by_input or (self._by_mask and attention_mask[:, -1].any())):
            keep = 1
        if self._by_mask:
            attention_mask = (attention_mask != 0).astype(np.int64)
            attention_mask[:, -1] *= 1 if keep == new else 1 + keep  # where it is padding it stays 0
        binding = session.io_binding()
        feeds = {INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask, POSITION_IDS: position_ids}
        feeds = {name: np.ascontiguousarray(array, np.int64) for name, array in feeds.items()}  # alive until the run is over
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        if keep < new and not self._by_mask:  # bind_cpu_input knows required inputs only
            binding.bind_ortvalue_input(LOGITS_TO_KEEP, ort.OrtValue.ortvalue_from_numpy(np.ones(1, np.int64)))
        bind_cache(binding)
        bind_adapter(binding, adapter)
        logits = np.empty((len(input_ids), keep, self._vocab_size), self._logits_dtype)  # the session writes into it
        binding.bind_output(LOGITS, "cpu", 0, logits.dtype.type, logits.shape, logits.ctypes.data)
        try:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()  # the logits are copied to the host on the device's stream, the presents computed there
        except Exception as error:  # the binding raises its own classes, all bare Exceptions
            raise self._explain(error, input_ids.shape[1]) from error
        return logits[:, -1 if last_only else 0 :].astype(np.float32, copy=False), binding

    def append(
        self, cache: BoundCache, ids: Sequence[int], *, last_only: bool = False, adapter: ActiveAdapter | None = None
    ) -> np.ndarray:
        """A step of one sequence, whose cache then holds ``ids``, too. Logits ``[S, V]``, or ``[1, V]`` with ``last_only``.

        Raises as :meth:`run`; the cache is then as it was.
        """
        total = cache.length + len(ids)
        logits, binding = self.step(
            np.array([ids], np.int64),
            np.ones((1, total), np.int64),
            np.arange(cache.length, total)[None],
            lambda binding: cache.bind(binding, len(ids)),
            last_only=last_only,
            adapter=adapter,
        )
        cache.commit(binding, len(ids))
        rows: np.ndarray = logits[0]
        return rows

    def new_cache(self) -> BoundCache:
        """For one sequence, in place where the layout and the device allow it.

        Raises:
            BundleError: a layout that can't be held.
        """
        if self._cache.length is not None:
            return StaticCache(self._cache, self.device, self.device_id)
        if InPlaceCache.fits(self._cache, self.device):
            return InPlaceCache(self._cache, self.bundle.manifest.context_length)
        return ReturnedCache(self._cache, self.device, self.device_id)

    def _first_past(self, batch: int) -> list[ort.OrtValue]:
        """What a first step takes: pasts of no tokens, or a static cache's buffers."""
        if self._cache.length is not None:
            return reserved_past(self._cache, self.device, batch, self.device_id)
        return empty_past(self._cache.tensors, np.dtype(self._cache.dtype), self.device, batch, self.device_id)

    def _explain(self, error: Exception, count: int) -> YoutuOnnxError:
        """What to raise where a step of so many tokens failed."""
        known = advise(self.provider.ort, str(error), version=lambda name: None)  # it runs, so it is installed well
        if known:
            return ProviderError(f"provider {self.provider.name} can't run this bundle: {known.cause}", hint=known.cure)
        return explain(error, f"a step of {count} tokens failed")
