"""A bundle ready to talk: tokenizer, chat template and decoder in one object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from youtu_onnx.chat.generation import Generation
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.chat.reply_options import Messages, ReplyOptions
from youtu_onnx.chat.result import Result
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.generation_config import GenerationConfig
from youtu_onnx.families.adapters.choice import BASE
from youtu_onnx.families.adapters.inputs import refuse_without_inputs
from youtu_onnx.runtimes.adapters import ActiveAdapter, AdaptedDecoder, Adapters
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.json_file import read_json
from youtu_onnx.text.thinking import CLOSE, OPEN

if TYPE_CHECKING:
    from youtu_onnx.text import constraint
else:
    constraint = Deferred("youtu_onnx.text.constraint", "holding replies to a schema", extra="serve")

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
        adapter: the default one of replies; None: the model without any.
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
        self._grammars: constraint.Grammars | None = None
        self._current: Generation | None = None
        self._active: ActiveAdapter | None = None
        self.adapter: str | None = None

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

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the LoRA adapters that replies can be written with."""
        found = self._adapters()
        return () if found is None else found.names

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Read an adapter: a folder in PEFT's format, or a file in ONNX Runtime's. In the place of one of the same name.

        Raises:
            UsageError: the bundle takes none, or a name that can't be.
            AdapterError: it can't be read, or can't be kept beside this bundle's weights.
        """
        self._taking_adapters().load(name, path)

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter, and what was computed with it.

        Raises:
            UsageError: there is none of this name, or the bundle takes none.
        """
        self._taking_adapters().unload(name)
        if self._active is not None and self._active.name == name:
            self._use(None)
        if self.adapter == name:
            self.adapter = None

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
        adapter: str | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Result:
        """The whole reply. Arguments and errors are :meth:`stream`'s."""
        options = ReplyOptions(max_tokens, temperature, top_k, top_p, seed, greedy, raw, enable_thinking, tools, adapter, schema)
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
        adapter: str | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Generation:
        """A reply to iterate over: pieces of text as they come.

        Args:
            prompt: a user's message, or a conversation: ``[{"role": "user", "content": "…"}, …]``.
            max_tokens: at most so many tokens, and never more than the context has room for; None takes the model's default.
            temperature, top_k, top_p, seed, greedy: as in :class:`Sampling`; None takes the bundle's defaults.
            raw: continue the prompt as it is, without the chat template.
            enable_thinking: passed to the chat template; None leaves the choice to it.
            tools: JSON schemas of functions that the model may call.
            adapter: one of :attr:`adapters`, or ``base`` for none; None takes the model's default.
            schema: JSON schema that the answer obeys, token by token; thinking before it is free.

        Raises:
            UsageError: an empty prompt, one too long for the context, an adapter that isn't there, a schema that can't be
                enforced, or arguments that can't be.
        """
        return self.reply(
            prompt,
            ReplyOptions(max_tokens, temperature, top_k, top_p, seed, greedy, raw, enable_thinking, tools, adapter, schema),
        )

    def reply(self, prompt: str | Messages, options: ReplyOptions) -> Generation:
        """:meth:`stream` with its options as one object."""
        sampling = options.sampling(self.sampling)
        ids, thinking = self._encode(prompt, options)
        self._use(options.adapter or self.adapter)
        generation = Generation(
            self._cache,
            self.tokenizer,
            ids,
            sampling=sampling,
            max_tokens=self.max_tokens if options.max_tokens is None else options.max_tokens,
            eos_ids=self.eos_ids,
            thinking=thinking,
            prompt_lookup=self.prompt_lookup,
            constraint=None if options.schema is None else self._constraint(options.schema, options, thinking),
        )
        if self._current is not None:
            self._current.cancel()
        self._current = generation
        return generation

    def _adapters(self) -> Adapters | None:
        return self.decoder.adapters if isinstance(self.decoder, AdaptedDecoder) else None

    def _taking_adapters(self) -> Adapters:
        found = self._adapters()
        if found is None:
            refuse_without_inputs(self.bundle)
            raise UsageError("this decoder takes no adapters", hint="open the bundle with youtu_onnx.load")
        return found

    def named(self, adapter: str) -> str:
        """A name that replies may be asked for with.

        Raises:
            UsageError: there is no such adapter, or the bundle takes none.
            AdapterError: its file in the bundle doesn't fit.
        """
        if adapter != BASE:
            self._taking_adapters().active(adapter)
        return adapter

    def _use(self, name: str | None) -> None:
        """Compute with an adapter from here on; what another one's cache holds is of no use to it."""
        wanted = None if name in (None, BASE) else self._taking_adapters().active(str(name))
        if wanted is self._active or not isinstance(self.decoder, AdaptedDecoder):
            return
        self.reset()
        self.decoder.use(wanted)
        self._active = wanted

    @property
    def thinks(self) -> bool:
        """Whether the tags around thinking are tokens."""
        return {OPEN, CLOSE} <= self.tokenizer.added.keys()

    def _constraint(self, schema: Mapping[str, Any], options: ReplyOptions, open_: bool) -> constraint.GrammarConstraint:
        """
        Args:
            open_: the prompt ends inside of thinking.

        Raises:
            UsageError: not all of the schema can be enforced.
            YoutuOnnxError: llguidance isn't installed.
        """
        if self._grammars is None:
            self._grammars = constraint.Grammars(self, self.decoder.vocab_size)
        thinking = "none" if options.raw else constraint.thinking_of(open_, options.enable_thinking)
        return self._grammars.json(schema, thinking=thinking)

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
