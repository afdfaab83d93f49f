"""Prompt tokens → a reply, token by token, on any Decoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from youtu_onnx.chat.finish import FinishReason
from youtu_onnx.chat.prefix import common_prefix
from youtu_onnx.chat.prompt_lookup import Drafter, PromptLookup, Speculation
from youtu_onnx.chat.sampling import Sampler, Sampling
from youtu_onnx.core.errors import UsageError
from youtu_onnx.text.thinking import Kind, ThinkingSplitter
from youtu_onnx.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from youtu_onnx.runtimes.decoder import Decoder


@dataclass(frozen=True)
class Usage:
    """Token counts. The reply's don't include the end token."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def to_dict(self) -> dict[str, int]:
        return asdict(self) | {"total_tokens": self.total_tokens}


@dataclass(frozen=True)
class Timing:
    """Seconds, and how much of the prompt the cache held already."""

    prefill_seconds: float
    decode_seconds: float
    reused_tokens: int


@dataclass(frozen=True)
class Result:
    """A finished reply.

    Attributes:
        text: all that was generated, think tags included.
        thinking: what stands between the think tags, without the white space around it.
        answer: what follows the thinking, without the white space before it.
        token_ids: all generated ids; the end token is not among them.
        finish_reason: ``stop`` (the model ended its reply), ``length`` (max_tokens or the context is used up) or
            ``cancelled``.
        speculation: what prompt lookup did; None without it.
    """

    text: str
    thinking: str
    answer: str
    token_ids: list[int]
    finish_reason: FinishReason
    usage: Usage
    timing: Timing
    speculation: Speculation | None = None

    def to_dict(self) -> dict[str, Any]:
        """What ``youtu-onnx generate --json`` prints."""
        fields = {
            "text": self.text,
            "thinking": self.thinking,
            "answer": self.answer,
            "token_ids": self.token_ids,
            "finish_reason": self.finish_reason,
            "usage": self.usage.to_dict(),
        }
        return fields | ({} if self.speculation is None else {"speculation": self.speculation.to_dict()})


class Piece(str):
    """A stretch of the reply. ``kind`` says which part it belongs to; all pieces join to ``Result.text``."""

    __slots__ = ("kind",)
    kind: Kind

    def __new__(cls, text: str, kind: Kind) -> Piece:
        piece = super().__new__(cls, text)
        piece.kind = kind
        return piece


class TokenCache:
    """A Decoder, and which tokens are in it: so that a prompt which begins like the last one costs only what is new.

    Attributes:
        ids: all tokens in the decoder, guesses included.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.ids: list[int] = []
        self._ahead: list[np.ndarray] = []  # logits [V] after each of the last ids, which are guesses

    def start(self, prompt: Sequence[int]) -> tuple[np.ndarray, int]:
        """Make ``prompt`` the cache's contents; logits ``[V]`` after it, and how many tokens needn't be computed."""
        # the last token is run again even if it is there: its logits are wanted
        shared = min(common_prefix(self.ids, prompt), len(prompt) - 1)
        if shared < len(self.ids) and not self.decoder.rewindable:
            shared = 0
        self._ahead = []
        self.decoder.rewind(len(self.ids) - shared)
        del self.ids[shared:]
        return self.append(prompt[shared:]), shared

    def append(self, ids: Sequence[int], guesses: Sequence[int] = ()) -> np.ndarray:
        """Run more tokens; logits ``[V]`` after the last.

        Args:
            guesses: tokens that may come next. They run in the same step, and :meth:`take` gives the logits after them.
        """
        self.drop_guesses()
        before, new = len(self.ids), [*ids, *guesses]
        try:
            if not guesses:
                return self.decoder.prefill(ids)
            rows = self.decoder.decode(new)
        finally:  # an interrupted prefill leaves its first steps in the cache
            self.ids += new[: max(self.decoder.length - before, 0)]
            del self.ids[self.decoder.length :]
        self._ahead = list(rows[len(ids) :])
        return rows[len(ids) - 1]

    def take(self, id_: int) -> np.ndarray | None:
        """Logits ``[V]`` after one more token if it is the next guess; if not, None, and no guess is left."""
        if self._ahead and self.ids[-len(self._ahead)] == id_:
            return self._ahead.pop(0)
        self.drop_guesses()
        return None

    def drop_guesses(self) -> None:
        """Rewind the guesses that weren't taken."""
        count, self._ahead = len(self._ahead), []
        if count:
            self.decoder.rewind(count)
            del self.ids[self.decoder.length :]

    def clear(self) -> None:
        self.decoder.reset()
        self.ids, self._ahead = [], []


class Generation(Iterator[Piece]):
    """A reply in the making: iterate for its pieces, then read ``result``.

    The prompt is checked when the object is made and run when the first piece is asked for. :meth:`cancel` may be
    called from a signal handler or another thread; the iteration then ends after the current token.
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
    ) -> None:
        """
        Args:
            max_tokens: at most so many tokens; None as many as the context has room for.
            thinking: the prompt ends inside an open ``<think>``.
            prompt_lookup: guess tokens ahead, to take fewer steps; None doesn't.

        Raises:
            UsageError: an empty prompt, one that leaves no room for a reply, ``max_tokens`` below 1, or prompt lookup on a
                decoder that can't take wrong guesses back.
        """
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
        room = context - len(prompt)
        self._limit = room if max_tokens is None else min(max_tokens, room)
        self._cache, self._tokenizer, self._prompt = cache, tokenizer, list(prompt)
        self._sampler, self._eos_ids, self._inside = Sampler(sampling), frozenset(eos_ids), thinking
        self._drafter = None if prompt_lookup is None else Drafter(prompt_lookup, self._prompt, self._eos_ids)
        self._cancelled = threading.Event()
        self._token_ids: list[int] = []
        self._parts: dict[Kind, list[str]] = {"thinking": [], "answer": [], "tag": []}
        self._texts: list[str] = []
        self._result: Result | None = None
        self._pieces = self._run()

    def __next__(self) -> Piece:
        return next(self._pieces)

    def cancel(self) -> None:
        """End the reply after the current token."""
        self._cancelled.set()

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
        logits, reused = self._cache.start(self._prompt)
        prefilled = time.perf_counter()
        stream, splitter = self._tokenizer.stream(), ThinkingSplitter(inside=self._inside)
        seen = set(self._prompt)
        while True:
            if self._cancelled.is_set():
                reason: FinishReason = "cancelled"
                break
            id_ = self._sampler.pick(logits, seen)
            if id_ in self._eos_ids:
                reason = "stop"
                break
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
        self._finish(reason, Timing(prefilled - started, time.perf_counter() - prefilled, reused))

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
        )
