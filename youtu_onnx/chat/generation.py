"""Prompt tokens → a reply, token by token, on any Decoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Self

import numpy as np

from youtu_onnx.chat.constraint import Constraint
from youtu_onnx.chat.drafter import Drafter
from youtu_onnx.chat.finish import FinishReason
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.chat.result import Result, Timing, Usage
from youtu_onnx.chat.sampler import Sampler
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.text.thinking import Kind, ThinkingSplitter
from youtu_onnx.text.tokenizer import Tokenizer


class Piece(str):
    """A stretch of the reply. ``kind`` says which part it belongs to; all pieces join to ``Result.text``."""

    __slots__ = ("kind",)
    kind: Kind

    def __new__(cls, text: str, kind: Kind) -> Self:
        piece = super().__new__(cls, text)
        piece.kind = kind
        return piece


class Generation(Iterator[Piece]):
    """A reply in the making: iterate for its pieces, then read ``result``.

    The prompt is checked when the object is made and run when the first piece is asked for. :meth:`cancel` may be
    called from a signal handler or another thread; the iteration then ends after the current step.

    Attributes:
        on_prompt: told, while the prompt is read, how many of its tokens are in the cache, and how many it has; None: nobody is.
    """

    def __init__(
        self,
        cache: TokenCache,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        *,
        sampling: Sampling,
        max_tokens: int | None,
        eos_ids: Collection[int],
        thinking: bool = False,
        prompt_lookup: PromptLookup | None = None,
        constraint: Constraint | None = None,
    ) -> None:
        """
        Args:
            max_tokens: at most so many tokens; None as many as the context has room for.
            thinking: the prompt ends inside an open ``<think>``.
            prompt_lookup: guess tokens ahead, to take fewer steps; None doesn't.
            constraint: what the reply has to obey; None: nothing.

        Raises:
            UsageError: an empty prompt, one that leaves no room for a reply, ``max_tokens`` below 1, or prompt lookup on a
                decoder that can't take wrong guesses back.
        """
        room = _room(cache, prompt, max_tokens, prompt_lookup)
        self._limit = room if max_tokens is None else min(max_tokens, room)
        self._cache, self._tokenizer, self._prompt = cache, tokenizer, list(prompt)
        self._sampler, self._eos_ids, self._inside = Sampler(sampling), frozenset(eos_ids), thinking
        self._drafter = None if prompt_lookup is None else Drafter(prompt_lookup, self._prompt, self._eos_ids)
        self._constraint = constraint
        self.on_prompt: Callable[[int, int], None] | None = None
        self._cancelled = threading.Event()
        self._token_ids: list[int] = []
        self._parts: dict[Kind, list[str]] = {"thinking": [], "answer": [], "tag": []}
        self._texts: list[str] = []
        self._result: Result | None = None
        self._pieces = self._run()

    def __next__(self) -> Piece:
        return next(self._pieces)

    def cancel(self) -> None:
        """End the reply after the current step: a token, or a chunk of the prompt."""
        self._cancelled.set()

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        return tuple(self._prompt)

    @property
    def result(self) -> Result:
        """The whole reply; runs what is left of it."""
        for _ in self:
            pass
        if self._result is None:
            raise UsageError("the generation ended with an error and has no result")
        return self._result

    def _run(self) -> Iterator[Piece]:
        started = time.perf_counter()
        if self._cancelled.is_set():
            self._finish("cancelled", Timing(0.0, 0.0, 0))
            return
        try:
            logits, reused = self._cache.start(self._prompt, self._read)
        except _Cancelled:
            self._finish("cancelled", Timing(time.perf_counter() - started, 0.0, 0))
            return
        prefilled = time.perf_counter()
        stream, splitter = self._tokenizer.stream(), ThinkingSplitter(inside=self._inside)
        seen = set(self._prompt)
        while True:
            if self._cancelled.is_set():
                reason: FinishReason = "cancelled"
                break
            id_ = self._sampler.pick(logits, seen, allowed=self._constraint.allowed() if self._constraint else None)
            if id_ in self._eos_ids:
                reason = "stop"
                break
            if self._constraint:
                self._constraint.accept(id_)
            self._token_ids.append(id_)
            seen.add(id_)
            yield from self._emit(splitter.push(stream.push(id_)))
            if len(self._token_ids) == self._limit:
                reason = "length"
                break
            if not self._cancelled.is_set():
                logits = self._advance(id_)
        self._cache.drop_guesses()
        yield from self._emit(splitter.push(stream.finish()) + splitter.finish())
        if self._constraint and self._constraint.failure is not None:
            raise YoutuOnnxError(
                f"the reply can't go on under the schema: {self._constraint.failure}", hint="simplify the schema, or ask again"
            )
        self._finish(reason, Timing(prefilled - started, time.perf_counter() - prefilled, reused))

    def _read(self, count: int) -> None:
        """So many tokens of the prompt are in the cache."""
        if self.on_prompt is not None:
            self.on_prompt(count, len(self._prompt))
        if self._cancelled.is_set() and count < len(self._prompt):
            raise _Cancelled

    def _advance(self, id_: int) -> np.ndarray:
        """Logits ``[V]`` after one more token: at hand if it was guessed, else of a step that tries new guesses."""
        if self._drafter is None:
            return self._cache.append([id_])
        self._drafter.push(id_)
        logits = self._cache.take(id_)
        if logits is None:
            # the row after the last guess is for the reply's last token, which itself is never run
            logits = self._cache.append([id_], self._drafter.draft(self._limit - len(self._token_ids) - 1))
        return logits

    def _emit(self, parts: list[tuple[Kind, str]]) -> Iterator[Piece]:
        for kind, text in parts:
            self._parts[kind].append(text)
            self._texts.append(text)
            yield Piece(text, kind)

    def _finish(self, reason: FinishReason, timing: Timing) -> None:
        self._result = Result(
            text="".join(self._texts),
            thinking="".join(self._parts["thinking"]).strip(),
            answer="".join(self._parts["answer"]).lstrip(),
            token_ids=self._token_ids,
            finish_reason=reason,
            usage=Usage(len(self._prompt), len(self._token_ids)),
            timing=timing,
            speculation=None if self._drafter is None else self._drafter.counts,
            cached=self._cache.cached,
        )


class _Cancelled(Exception):
    """While the prompt was read."""


def _room(cache: TokenCache, prompt: Sequence[int], max_tokens: int | None, prompt_lookup: PromptLookup | None) -> int:
    """Tokens that the context has room for behind the prompt. Raises as :class:`Generation` does."""
    context = cache.decoder.context_length
    if not prompt:
        raise UsageError("the prompt is empty", hint="write something to reply to")
    if len(prompt) + 1 > context:
        raise UsageError(
            f"the prompt has {len(prompt)} tokens; the context of {context} leaves room for {context - 1}",
            hint="shorten the prompt, or drop the oldest messages",
        )
    if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1):
        raise UsageError(f"max_tokens is {max_tokens!r}; expected a whole number from 1")
    if prompt_lookup is not None and not cache.decoder.rewindable:
        raise UsageError(
            "prompt lookup takes wrong guesses back, and this model's cache can't drop tokens",
            hint="leave --prompt-lookup away",
        )
    return context - len(prompt)
