"""A bundle ready to talk: tokenizer, chat template and decoder in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from youtu_onnx.chat.generate import Generation, Result, TokenCache
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.tokenizer import read_json

if TYPE_CHECKING:
    from youtu_onnx.runtimes.decoder import Decoder
    from youtu_onnx.runtimes.providers.options import ProviderOptions

DEFAULT_MAX_TOKENS = 1024
"""Length of a reply where neither the caller nor the bundle's ``max_new_tokens`` sets one."""

Messages = Sequence[Mapping[str, Any]]


def load(
    path: str | Path,
    provider: str | None = None,
    runtime: str = "ort",
    threads: int | None = None,
    prompt_lookup: PromptLookup | bool = False,
    *,
    provider_options: ProviderOptions | Mapping[str, object] | None = None,
    require_provider: bool = False,
) -> Model:
    """Open a bundle for generation.

    Args:
        provider: as in ``--provider``; None takes the one that the bundle was exported for.
        runtime: ``ort`` or ``genai``.
        threads: of the CPU provider; None takes one per physical core.
        prompt_lookup: guess tokens from the text so far and try several in a step; True is ``PromptLookup()``.
        provider_options: as in ``--provider-option``: ``{"device_id": 1, "gpu_mem_limit": "4GiB", "use_tf32": False}``.
        require_provider: raise where a node runs elsewhere, but for small ones that every provider leaves to the CPU.

    Raises:
        BundleError: no bundle, or a damaged one.
        UsageError: an unknown provider or runtime, options that the provider doesn't have, or prompt lookup on a
            runtime that gains nothing by it.
        ProviderError: a provider or runtime that isn't installed.
        ResourceError: too little memory.
    """
    from youtu_onnx.runtimes.opening import open_decoder
    from youtu_onnx.runtimes.providers.options import ProviderOptions
    from youtu_onnx.runtimes.providers.providers import variant_for

    if prompt_lookup and runtime == "genai":
        raise UsageError(
            "the genai runtime gives the logits of one token per step, so prompt lookup can save none there",
            hint="use --runtime ort, or leave --prompt-lookup away",
        )
    bundle = Bundle.open(path, target=variant_for(provider))
    options = provider_options if isinstance(provider_options, ProviderOptions) else ProviderOptions.of(provider_options)
    settings = PromptLookup() if prompt_lookup is True else prompt_lookup or None
    # The runtime packs weights on one core; the other reads the tokenizer meanwhile.
    with ThreadPoolExecutor(1) as background, ExitStack() as undo:
        opening = background.submit(
            open_decoder, bundle, runtime, provider, threads, options=options, require_provider=require_provider
        )
        undo.callback(_close, opening)
        tokenizer = Tokenizer.open(bundle.path)
        model = Model(bundle, tokenizer, ChatTemplate.open(bundle.path, tokenizer), opening.result(), settings)
        undo.pop_all()
    return model


def _close(opening: Future[Decoder]) -> None:
    """What nobody will use, since something else failed."""
    if opening.exception() is None:
        opening.result().close()


class Model:
    """One conversation at a time. Calls that begin alike share their cache: a chat never computes its history twice.

    Not for use from several threads at once; starting a reply cancels an unfinished one.

    Attributes:
        sampling: the defaults, from the bundle's ``generation_config.json``.
        max_tokens: the default length of a reply.
        eos_ids: the tokens that end a reply.
        prompt_lookup: how replies guess ahead; None for those that don't. Read when a reply begins.
    """

    def __init__(
        self,
        bundle: Bundle,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        decoder: Decoder,
        prompt_lookup: PromptLookup | None = None,
    ) -> None:
        self.bundle, self.tokenizer, self.template, self.decoder = bundle, tokenizer, template, decoder
        config = read_json(bundle.file(names.GENERATION_CONFIG))
        self.sampling = Sampling.from_generation_config(config)
        self.eos_ids = eos_ids(config, bundle, tokenizer)
        self.max_tokens = default_max_tokens(config)
        self.prompt_lookup = prompt_lookup
        self._cache = TokenCache(decoder)
        self._current: Generation | None = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the model's memory."""
        self.reset()
        self.decoder.close()

    def reset(self) -> None:
        """Forget the cached conversation."""
        if self._current is not None:
            self._current.cancel()
            self._current = None
        self._cache.clear()

    def generate(
        self,
        prompt: str | Messages,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        greedy: bool | None = None,
        raw: bool = False,
        enable_thinking: bool | None = None,
        tools: Messages | None = None,
    ) -> Result:
        """The whole reply. Arguments and errors are :meth:`stream`'s."""
        return self.stream(
            prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            greedy=greedy,
            raw=raw,
            enable_thinking=enable_thinking,
            tools=tools,
        ).result

    def stream(
        self,
        prompt: str | Messages,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        greedy: bool | None = None,
        raw: bool = False,
        enable_thinking: bool | None = None,
        tools: Messages | None = None,
    ) -> Generation:
        """A reply to iterate over: pieces of text as they come.

        Args:
            prompt: a user's message, or a conversation: ``[{"role": "user", "content": "…"}, …]``.
            max_tokens: at most so many tokens, and never more than the context has room for; None takes the model's default.
            temperature, top_k, top_p, seed, greedy: as in :class:`Sampling`; None takes the bundle's defaults.
            raw: continue the prompt as it is, without the chat template.
            enable_thinking: passed to the chat template; None leaves the choice to it.
            tools: JSON schemas of functions that the model may call.

        Raises:
            UsageError: an empty prompt, one too long for the context, or arguments that can't be.
        """
        sampling = self.sampling.override(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, greedy=greedy)
        ids, thinking = self._encode(prompt, raw, enable_thinking, tools)
        generation = Generation(
            self._cache,
            self.tokenizer,
            ids,
            sampling=sampling,
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            eos_ids=self.eos_ids,
            thinking=thinking,
            prompt_lookup=self.prompt_lookup,
        )
        if self._current is not None:
            self._current.cancel()
        self._current = generation
        return generation

    def _encode(
        self, prompt: str | Messages, raw: bool, enable_thinking: bool | None, tools: Messages | None
    ) -> tuple[list[int], bool]:
        if isinstance(prompt, str) and not (prompt if raw else prompt.strip()):
            raise UsageError("the prompt is empty", hint="write something to reply to")
        if raw:
            if not isinstance(prompt, str):
                raise UsageError("raw generation continues a text; it takes no messages", hint="pass a string, or raw=False")
            if enable_thinking is not None or tools is not None:
                raise UsageError(
                    "enable_thinking and tools act through the chat template, which raw generation leaves out",
                    hint="drop them, or drop raw",
                )
            return self.tokenizer.encode(prompt, frame=True), False
        if self.template is None:
            raise UsageError(
                f"the bundle at {self.bundle.path} has no chat template (a base model's has none)",
                hint="continue plain text instead: --raw, or raw=True",
            )
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        rendered = self.template.prompt(messages, enable_thinking=enable_thinking, tools=tools)
        return rendered.token_ids, rendered.thinking


def default_max_tokens(config: Mapping[str, Any]) -> int:
    """The length of a reply where the caller sets none, by a bundle's generation_config.json."""
    length = config.get("max_new_tokens")
    return length if type(length) is int and length > 0 else DEFAULT_MAX_TOKENS


def eos_ids(config: Mapping[str, Any], bundle: Bundle, tokenizer: Tokenizer) -> tuple[int, ...]:
    """From generation_config.json, else the model's config, else the tokenizer; the first that says anything."""
    listed = config.get("eos_token_id")
    if listed is not None:
        listed = listed if isinstance(listed, list) else [listed]
        if not all(type(one) is int for one in listed):
            raise BundleError(
                f"generation_config.json: eos_token_id is {listed!r}; expected token ids", hint="copy or export the bundle again"
            )
        return tuple(listed)
    if bundle.manifest.model.eos_token_ids:
        return bundle.manifest.model.eos_token_ids
    return () if tokenizer.eos_id is None else (tokenizer.eos_id,)
