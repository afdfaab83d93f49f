"""Bundles on ONNX Runtime: a stateless model, and the Decoder over it.

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
from youtu_onnx.core.errors import BundleError, ProviderError, ResourceError, UsageError, YoutuOnnxError
from youtu_onnx.runtimes.decoder import check_ids, check_rewind, steps
from youtu_onnx.runtimes.ort.cache import (
    InPlaceCache,
    ReturnedCache,
    SequenceCache,
    StaticCache,
    first_past,
    full_mask,
    presents_of,
)
from youtu_onnx.runtimes.ort.placement import Placement
from youtu_onnx.runtimes.ort.prepared import Prepared
from youtu_onnx.runtimes.ort.prepared import find as find_prepared
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers import providers
from youtu_onnx.runtimes.providers.advice import advise, said_last
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.plugins import available, plugin_failure
from youtu_onnx.runtimes.providers.probe import probe
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.resolve import resolve
from youtu_onnx.runtimes.providers.sessions import check_started, open_session

INPUT_IDS, ATTENTION_MASK, POSITION_IDS, LOGITS = "input_ids", "attention_mask", "position_ids", "logits"
LOGITS_TO_KEEP = "logits_to_keep"
"""The graph's optional input: of how many last positions to compute logits, 0 for all."""

OUT_OF_MEMORY = (
    "failed to allocate memory",
    "bad_alloc",
    "out of memory",
    "cudaerrormemoryallocation",
    "smaller than requested bytes",
)  # the last: an arena at its gpu_mem_limit


class OrtModel:
    """A bundle's graph in a session. Holds no sequence, and may serve several at once.

    Attributes:
        bundle: the bundle it was made of.
        provider: the provider that runs it, for certain: nothing falls back silently.
        device: where its cache tensors are, in ONNX Runtime's words.
        device_id: which of several such devices.
        prepared: the copy with packed weights that was opened instead of the bundle's graph; None: the bundle's own was.
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
        wanted = providers.chosen(provider, bundle.manifest.graph.provider)
        self.provider = resolve(provider, bundle.manifest.graph.provider, available(wanted), plugin_failure(wanted))
        self._layout = bundle.manifest.cache.tensors
        self.device = self.provider.device
        chosen = options or ProviderOptions()
        self.device_id = (chosen.device_id or 0) if self.device != "cpu" else 0
        self._session: ort.InferenceSession | None
        self._session, self.prepared = open_graph(bundle, names.MODEL, self.provider, thread_count(threads), chosen, find)
        if self.provider.name != "cpu":  # nothing lies behind the CPU
            self.placement.check(require=require_provider)
        self._keeps_logits = LOGITS_TO_KEEP in {one.name for one in self._session.get_overridable_initializers()}
        self._check_interface()
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
    ) -> tuple[np.ndarray, list[ort.OrtValue]]:
        """One step.

        Args:
            input_ids: ``[B, S]`` int64.
            attention_mask: ``[B, T]`` int64, zero where a token is padding.
            position_ids: ``[B, S]`` int64.
            past: what the step before returned; None for the first.
            last_only: as in :meth:`step`.

        Returns:
            Logits ``[B, S, V]`` float32, or ``[B, 1, V]`` with ``last_only``, and the presents, the next step's past.

        Raises:
            UsageError: more tokens than a static cache has room for.
            ResourceError: out of memory.
            BundleError: the graph can't be run.
        """
        past = first_past(self.bundle.manifest.cache, self.device, len(input_ids), self.device_id) if past is None else past

        def bind(binding: ort.IOBinding) -> None:
            for tensor, value in zip(self._layout, past, strict=True):
                binding.bind_ortvalue_input(tensor.past, value)
                binding.bind_output(tensor.present, self.device, self.device_id)

        logits, binding = self.step(input_ids, attention_mask, position_ids, bind, last_only=last_only)
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
    ) -> tuple[np.ndarray, ort.IOBinding]:
        """:meth:`run` for callers that hold the cache tensors themselves and bind them. Returns the logits and what was bound:
        :func:`youtu_onnx.runtimes.ort.cache.presents_of` it are the presents.

        ``last_only``: logits ``[B, 1, V]`` of the last position. Graphs that can do so don't compute the others: of a
        prompt's arithmetic the head is an eighth, and ``[B, S, V]`` by far a step's largest tensor.
        """
        session = self.session
        if (reserved := self.bundle.manifest.cache.length) is not None:
            attention_mask = full_mask(attention_mask, reserved)
        binding = session.io_binding()
        feeds = {INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask, POSITION_IDS: position_ids}
        feeds = {name: np.ascontiguousarray(array, np.int64) for name, array in feeds.items()}  # alive until the run is over
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        keep = 1 if last_only and self._keeps_logits else input_ids.shape[1]
        if keep < input_ids.shape[1]:  # bind_cpu_input knows required inputs only
            binding.bind_ortvalue_input(LOGITS_TO_KEEP, ort.OrtValue.ortvalue_from_numpy(np.ones(1, np.int64)))
        bind_cache(binding)
        logits = np.empty((len(input_ids), keep, self._vocab_size), self._logits_dtype)  # the session writes into it
        binding.bind_output(LOGITS, "cpu", 0, logits.dtype.type, logits.shape, logits.ctypes.data)
        try:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()  # the logits are copied to the host on the device's stream, the presents computed there
        except Exception as error:  # the binding raises its own classes, all bare Exceptions
            known = advise(self.provider.ort, str(error), version=lambda name: None)  # it runs, so it is installed well
            raise (
                ProviderError(f"provider {self.provider.name} can't run this bundle: {known.cause}", hint=known.cure)
                if known
                else explain(error, f"a step of {input_ids.shape[1]} tokens failed")
            ) from error
        return logits[:, -1 if last_only else 0 :].astype(np.float32, copy=False), binding

    def _check_interface(self) -> None:
        inputs = {INPUT_IDS, ATTENTION_MASK, POSITION_IDS} | {tensor.past for tensor in self._layout}
        outputs = {LOGITS} | {tensor.present for tensor in self._layout}
        found = {"inputs": self.session.get_inputs(), "outputs": self.session.get_outputs()}
        for kind, expected in (("inputs", inputs), ("outputs", outputs)):
            difference = expected ^ {one.name for one in found[kind]}
            if difference:
                raise BundleError(
                    f"{self.bundle.path / names.MODEL} and its manifest disagree on {kind}: {', '.join(sorted(difference)[:4])}",
                    hint="export the bundle again",
                )
        said = self.bundle.manifest.cache.length
        lengths = {dim if isinstance(dim, int) else None for one in found["inputs"] for dim in one.shape[2:3]}
        if lengths != {said}:
            raise BundleError(
                f"{self.bundle.path / names.MODEL} and its manifest disagree on the cache's reserved length, "
                f"which is {said or 'none'} in the manifest",
                hint="export the bundle again",
            )


class OrtDecoder:
    """The Decoder over an :class:`OrtModel`. Implements :class:`youtu_onnx.runtimes.decoder.Decoder`."""

    def __init__(self, model: OrtModel) -> None:
        self.model = model
        self.vocab_size = model.bundle.manifest.model.vocab_size
        self.context_length = model.bundle.manifest.context_length
        self._cache = new_cache(model)

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        provider: str | None = None,
        threads: int | None = None,
        *,
        options: ProviderOptions | None = None,
        require_provider: bool = False,
    ) -> OrtDecoder:
        return cls(OrtModel(bundle, provider, threads, options=options, require_provider=require_provider))

    @property
    def length(self) -> int:
        return self._cache.length

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        for chunk in steps(self._check(ids)):
            logits = self._append(chunk, last_only=True)
        return logits[-1].copy()  # a copy, so that the other rows' memory is freed

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        before = self.length
        try:
            return np.concatenate([self._append(chunk) for chunk in steps(self._check(ids))])
        except YoutuOnnxError:
            self._cache.truncate(before)
            raise

    def rewind(self, count: int) -> None:
        check_rewind(count, self.length)
        self._cache.truncate(self.length - count)

    def reset(self) -> None:
        self._cache = new_cache(self.model)  # frees the memory of a long conversation, too

    def close(self) -> None:
        self.reset()
        self.model.close()

    def _check(self, ids: Sequence[int]) -> list[int]:
        return check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)

    def _append(self, ids: Sequence[int], *, last_only: bool = False) -> np.ndarray:
        """Logits ``[S, V]``, or ``[1, V]`` with ``last_only``."""
        total = self.length + len(ids)
        logits, binding = self.model.step(
            np.array([ids], np.int64),
            np.ones((1, total), np.int64),
            np.arange(self.length, total)[None],
            lambda binding: self._cache.bind(binding, len(ids)),
            last_only=last_only,
        )
        self._cache.commit(binding, len(ids))
        return logits[0]


def new_cache(model: OrtModel) -> SequenceCache:
    """For one sequence, in place where the cache and the device allow it."""
    layout = model.bundle.manifest.cache
    if layout.length is not None:
        return StaticCache(layout, model.device, model.device_id)
    if InPlaceCache.fits(layout, model.device):
        return InPlaceCache(layout, model.bundle.manifest.context_length)
    return ReturnedCache(layout, model.device, model.device_id)


def left_pad(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts of different lengths as ``input_ids``, ``attention_mask`` and ``position_ids``, int64 ``[B, S]`` each.

    Padding stands on the left, is masked, and has position 0; a prompt's own positions start at 0.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise UsageError("a batch needs prompts, and every prompt a token", hint="drop the empty ones")
    width = max(map(len, prompts))
    ids = np.full((len(prompts), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return ids, mask, np.clip(np.cumsum(mask, axis=1) - 1, 0, None)


def session_options(bundle: Bundle, provider: Provider, threads: int) -> ort.SessionOptions:
    """How a bundle's graph is opened. A change of how weights are packed has to change
    :data:`youtu_onnx.runtimes.ort.prepared.FORMAT_VERSION`."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # fatal only: what goes wrong is raised, and said in our own words
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if provider.name != "cpu":
        return options
    # Exact products of bytes on x86 processors without VNNI; the fast ones there saturate at 16 bits.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if bundle.manifest.graph.optimized:
        # Such a graph was written as the optimizer would leave it: looking through it takes a tenth of the time to a first
        # token and finds nothing. In float16 it does find work, for there the session puts casts around most operators.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def open_graph(
    bundle: Bundle,
    name: str,
    provider: Provider,
    threads: int,
    chosen: ProviderOptions,
    find: Callable[[Bundle], Prepared | None] | None = None,
) -> tuple[ort.InferenceSession, Prepared | None]:
    """A session for one of a bundle's graphs, or for the prepared copy that ``find`` knows of, and that copy. Raises as
    :class:`OrtModel` does."""
    options = session_options(bundle, provider, threads)
    chosen.of_provider(provider)
    copy = find(bundle) if find and provider.name == "cpu" else None
    if copy and (session := copy.open(options)):
        return session, copy
    path = bundle.file(name)
    try:
        session = open_session(path, options, provider, chosen)
    except UsageError:
        raise
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        explained = explain(error, f"onnxruntime can't open {path}")
        found = probe(provider.ort, chosen.given()) if provider.name != "cpu" else None
        if found and not found.works:  # anything, with these options: it is the provider
            hint = found.advice or "check the device with youtu-onnx doctor, or choose --provider cpu"
            raise ProviderError(f"provider {provider.name} could not start: {found.detail}", hint=hint) from error
        if found and isinstance(explained, BundleError):
            raise ProviderError(
                f"provider {provider.name} can't open this bundle: {said_last(str(error))}",
                hint="export one for it (youtu-onnx export --target …), or choose --provider cpu",
            ) from error
        raise explained from error
    check_started(session, provider, lambda: probe(provider.ort, chosen.given()))
    return session, None


def explain(error: Exception, what: str) -> YoutuOnnxError:
    text = str(error).strip()
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in OUT_OF_MEMORY):
        return ResourceError(
            f"{what}: out of memory", hint="close other programs, use a shorter context, or export with --precision int4"
        )
    return BundleError(f"{what}: {text}", hint="check the bundle with youtu-onnx verify, or export it again")
