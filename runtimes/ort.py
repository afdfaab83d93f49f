"""Bundles on ONNX Runtime: a stateless model, and the Decoder over it.

Shapes: B batch, S new tokens, P past tokens, T = P + S, V vocabulary. Cache tensors stay OrtValues on the provider's
device from one step to the next; numpy sees token ids and logits only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from runtimes import providers
from runtimes.decoder import check_ids, check_rewind, steps
from runtimes.threads import thread_count
from youtu_onnx.bundle import Bundle, names
from youtu_onnx.errors import BundleError, ProviderError, ResourceError, UsageError, YoutuOnnxError

INPUT_IDS, ATTENTION_MASK, POSITION_IDS, LOGITS = "input_ids", "attention_mask", "position_ids", "logits"

DEVICES = {"CUDAExecutionProvider": "cuda", "DmlExecutionProvider": "dml", "MIGraphXExecutionProvider": "cuda"}
"""Where a provider keeps its tensors; with the others the cache passes through host memory."""

OUT_OF_MEMORY = ("failed to allocate memory", "bad_alloc", "out of memory", "cudaerrormemoryallocation")


class OrtModel:
    """A bundle's graph in a session. Holds no sequence, and may serve several at once.

    Attributes:
        bundle: the bundle it was made of.
        provider: the provider that runs it, for certain: nothing falls back silently.
    """

    def __init__(self, bundle: Bundle, provider: str | None = None, threads: int | None = None) -> None:
        """Open ``model.onnx``.

        Args:
            provider: a name as in ``--provider``; None takes the one that the bundle was exported for.
            threads: of the CPU provider; None takes one per physical core.

        Raises:
            UsageError: unknown provider, impossible number of threads.
            ProviderError: the provider isn't installed or can't start.
            BundleError: the graph is damaged, or isn't what the manifest says.
            ResourceError: too little memory.
        """
        self.bundle = bundle
        self.provider = providers.resolve(provider, bundle.manifest.target, ort.get_available_providers())
        self._layout = bundle.manifest.cache.tensors()
        self._dtype = np.dtype(bundle.manifest.cache.dtype)
        self._device = DEVICES.get(self.provider.ort, "cpu")
        self._session: ort.InferenceSession | None = _open_session(bundle, self.provider, thread_count(threads))
        self._check_interface()

    @property
    def session(self) -> ort.InferenceSession:
        """The session underneath.

        Raises:
            UsageError: the model was closed.
        """
        if self._session is None:
            raise UsageError("the model was closed", hint="open the bundle again")
        return self._session

    def close(self) -> None:
        """Free the session; closing twice does no harm."""
        self._session = None

    def empty_past(self, batch: int = 1) -> list[ort.OrtValue]:
        """Pasts of no tokens: ``[B, heads, 0, width]`` each, in the graph's order."""
        return [ort.OrtValue.ortvalue_from_shape_and_type([batch, tensor.heads, 0, tensor.width], self._dtype.type, self._device)
                for tensor in self._layout]

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray, position_ids: np.ndarray,
            past: Sequence[ort.OrtValue] | None = None) -> tuple[np.ndarray, list[ort.OrtValue]]:
        """One step.

        Args:
            input_ids: ``[B, S]`` int64.
            attention_mask: ``[B, T]`` int64, zero where a token is padding.
            position_ids: ``[B, S]`` int64.
            past: what the step before returned; None for the first.

        Returns:
            Logits ``[B, S, V]`` float32 and the presents, the next step's past.

        Raises:
            ResourceError: out of memory.
            BundleError: the graph can't be run.
        """
        logits, presents = self._run(input_ids, attention_mask, position_ids, past, with_logits=True)
        assert logits is not None
        return logits, presents

    def extend(self, input_ids: np.ndarray, attention_mask: np.ndarray, position_ids: np.ndarray,
               past: Sequence[ort.OrtValue] | None = None) -> list[ort.OrtValue]:
        """:meth:`run` for the presents alone: spares copying logits ``[B, S, V]``, a step's largest tensor by far."""
        return self._run(input_ids, attention_mask, position_ids, past, with_logits=False)[1]

    def run_batch(self, prompts: Sequence[Sequence[int]],
                  pad_id: int) -> tuple[np.ndarray, np.ndarray, list[ort.OrtValue]]:
        """The first step of several prompts at once, left-padded to one length S.

        Returns:
            Logits ``[B, S, V]`` (the last row of each prompt is its own), the mask ``[B, S]``, and the presents.
        """
        for prompt in prompts:
            check_ids(prompt, length=0, context_length=self.bundle.manifest.architecture.max_position_embeddings,
                      vocab_size=self.bundle.manifest.architecture.vocab_size)
        ids, mask, positions = left_pad(prompts, pad_id)
        logits, presents = self.run(ids, mask, positions)
        return logits, mask, presents

    def _run(self, input_ids: np.ndarray, attention_mask: np.ndarray, position_ids: np.ndarray,
             past: Sequence[ort.OrtValue] | None, *, with_logits: bool) -> tuple[np.ndarray | None, list[ort.OrtValue]]:
        session = self.session
        past = self.empty_past(input_ids.shape[0]) if past is None else past
        binding = session.io_binding()
        binding.bind_cpu_input(INPUT_IDS, np.ascontiguousarray(input_ids, np.int64))
        binding.bind_cpu_input(ATTENTION_MASK, np.ascontiguousarray(attention_mask, np.int64))
        binding.bind_cpu_input(POSITION_IDS, np.ascontiguousarray(position_ids, np.int64))
        for tensor, value in zip(self._layout, past, strict=True):
            binding.bind_ortvalue_input(tensor.past, value)
            binding.bind_output(tensor.present, self._device)
        if with_logits:
            binding.bind_output(LOGITS, "cpu")
        try:
            session.run_with_iobinding(binding)
        except Exception as error:  # the binding raises its own classes, all bare Exceptions
            raise _explain(error, f"a step of {input_ids.shape[1]} tokens failed") from error
        outputs = binding.get_outputs()
        if not with_logits:
            return None, outputs
        return outputs[-1].numpy().astype(np.float32, copy=False), outputs[:-1]

    def truncate(self, past: Sequence[ort.OrtValue], tokens: int) -> list[ort.OrtValue]:
        """Copies of pasts without all but their first ``tokens``."""
        return [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value.numpy()[:, :, :tokens]), self._device)
                for value in past]

    def _check_interface(self) -> None:
        inputs = {INPUT_IDS, ATTENTION_MASK, POSITION_IDS} | {tensor.past for tensor in self._layout}
        outputs = {LOGITS} | {tensor.present for tensor in self._layout}
        found = {"inputs": self.session.get_inputs(), "outputs": self.session.get_outputs()}
        for kind, expected in (("inputs", inputs), ("outputs", outputs)):
            difference = expected ^ {one.name for one in found[kind]}
            if difference:
                raise BundleError(f"{self.bundle.path / names.MODEL} and its manifest disagree on {kind}: "
                                  f"{', '.join(sorted(difference)[:4])}", hint="export the bundle again")


class OrtDecoder:
    """The Decoder over an :class:`OrtModel`. Implements :class:`runtimes.decoder.Decoder`."""

    def __init__(self, model: OrtModel) -> None:
        self.model = model
        self.vocab_size = model.bundle.manifest.architecture.vocab_size
        self.context_length = model.bundle.manifest.architecture.max_position_embeddings
        # Cache and length change in one assignment, so that an interrupt between two statements can't part them.
        self._state: tuple[list[ort.OrtValue] | None, int] = (None, 0)

    @classmethod
    def open(cls, bundle: Bundle, provider: str | None = None, threads: int | None = None) -> OrtDecoder:
        return cls(OrtModel(bundle, provider, threads))

    @property
    def length(self) -> int:
        return self._state[1]

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        *others, last = steps(self._check(ids))
        for chunk in others:
            past, length = self._state
            self._state = (self.model.extend(*_step(chunk, length), past), length + len(chunk))
        return self._append(last)[-1].copy()  # a copy, so that the other rows' memory is freed

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        before = self.length
        try:
            return np.concatenate([self._append(chunk) for chunk in steps(self._check(ids))])
        except YoutuOnnxError:
            self.rewind(self.length - before)
            raise

    def rewind(self, count: int) -> None:
        past, length = self._state
        check_rewind(count, length)
        if count == 0:
            return
        kept = length - count
        self._state = (self.model.truncate(past, kept), kept) if kept else (None, 0)

    def reset(self) -> None:
        self._state = (None, 0)

    def close(self) -> None:
        self.reset()
        self.model.close()

    def _check(self, ids: Sequence[int]) -> list[int]:
        return check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)

    def _append(self, ids: Sequence[int]) -> np.ndarray:
        """Logits ``[S, V]``."""
        past, length = self._state
        logits, presents = self.model.run(*_step(ids, length), past)
        self._state = (presents, length + len(ids))
        return logits[0]


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
        ids[row, width - len(prompt):] = prompt
        mask[row, width - len(prompt):] = 1
    return ids, mask, np.clip(np.cumsum(mask, axis=1) - 1, 0, None)


def _step(ids: Sequence[int], length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of one unpadded sequence: ids ``[1, S]``, mask ``[1, T]``, positions ``[1, S]``."""
    total = length + len(ids)
    return np.array([ids], np.int64), np.ones((1, total), np.int64), np.arange(length, total, dtype=np.int64)[None]


def _open_session(bundle: Bundle, provider: providers.Provider, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # fatal only: what goes wrong is raised, and said in our own words
    options.intra_op_num_threads = threads
    if provider.name != "cpu":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    path = bundle.file(names.MODEL)
    try:
        session = ort.InferenceSession(path, options, providers=[provider.ort])
        session.disable_fallback()  # a failing run must raise, not move to the CPU
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        explained = _explain(error, f"onnxruntime can't open {path}")
        if provider.name != "cpu" and isinstance(explained, BundleError):
            raise ProviderError(f"{explained.message} on provider {provider.name}",
                                hint="check the device with youtu-onnx doctor, or choose --provider cpu") from error
        raise explained from error
    providers.check_session(session, provider)
    return session


def _explain(error: Exception, what: str) -> YoutuOnnxError:
    text = str(error).strip()
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in OUT_OF_MEMORY):
        return ResourceError(f"{what}: out of memory",
                             hint="close other programs, use a shorter context, or export with --precision int4")
    return BundleError(f"{what}: {text}", hint="check the bundle with youtu-onnx verify, or export it again")
