"""A bundle ready to talk: tokenizer, chat template and decoder in one object."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from youtu_onnx.chat.generation import Generation
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.chat.reply_options import Messages, ReplyOptions
from youtu_onnx.chat.result import Result
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.generation_config import GenerationConfig
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.json_file import read_json

DEFAULT_MAX_TOKENS = 1024
"""Length of a reply where neither the caller nor the bundle's ``max_new_tokens`` sets one."""


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

    def __enter__(self) -> Self:
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
        options = ReplyOptions(max_tokens, temperature, top_k, top_p, seed, greedy, raw, enable_thinking, tools)
        return self.reply(prompt, options).result

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
        return self.reply(prompt, ReplyOptions(max_tokens, temperature, top_k, top_p, seed, greedy, raw, enable_thinking, tools))

    def reply(self, prompt: str | Messages, options: ReplyOptions) -> Generation:
        """:meth:`stream` with its options as one object."""
        sampling = options.sampling(self.sampling)
        ids, thinking = self._encode(prompt, options)
        generation = Generation(
            self._cache,
            self.tokenizer,
            ids,
            sampling=sampling,
            max_tokens=self.max_tokens if options.max_tokens is None else options.max_tokens,
            eos_ids=self.eos_ids,
            thinking=thinking,
            prompt_lookup=self.prompt_lookup,
        )
        if self._current is not None:
            self._current.cancel()
        self._current = generation
        return generation

    def _encode(self, prompt: str | Messages, options: ReplyOptions) -> tuple[list[int], bool]:
        """Token ids, and whether they end inside an open ``<think>``."""
        if isinstance(prompt, str) and not (prompt if options.raw else prompt.strip()):
            raise UsageError("the prompt is empty", hint="write something to reply to")
        if options.raw:
            if not isinstance(prompt, str):
                raise UsageError("raw generation continues a text; it takes no messages", hint="pass a string, or raw=False")
            if options.enable_thinking is not None or options.tools is not None:
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
        rendered = self.template.prompt(messages, enable_thinking=options.enable_thinking, tools=options.tools)
        return rendered.token_ids, rendered.thinking


def default_max_tokens(config: Mapping[str, Any]) -> int:
    """The length of a reply where the caller sets none, by a bundle's generation_config.json."""
    return GenerationConfig.of_bundle(config).max_new_tokens or DEFAULT_MAX_TOKENS


def eos_ids(config: Mapping[str, Any], bundle: Bundle, tokenizer: Tokenizer) -> tuple[int, ...]:
    """From generation_config.json, else the model's config, else the tokenizer; the first that says anything.

    Ids that the model doesn't have are left out: no reply ends with them, to transformers either.
    """
    listed, model = GenerationConfig.of_bundle(config).eos_token_ids, bundle.manifest.model
    if listed is None:
        listed = model.eos_token_ids or (() if tokenizer.eos_id is None else (tokenizer.eos_id,))
    return tuple(one for one in listed if 0 <= one < model.vocab_size)
