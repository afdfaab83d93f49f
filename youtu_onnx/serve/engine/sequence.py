"""A request on its way through the engine."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from youtu_onnx.chat.distribution import likeliest
from youtu_onnx.chat.finish import CompleteReason, FinishReason
from youtu_onnx.chat.sampler import Sampler
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.core.softmax import log_softmax
from youtu_onnx.serve.engine.request import Ended, Event, PromptProgress, Queued, Request, Token

_NUMBERS = itertools.count()


class TokenSequence:
    """The tokens of one request: its prompt, and the reply so far. Implements the engine's Ticket.

    All but :meth:`cancel` belongs to the engine's thread.

    Attributes:
        request: what was asked.
        ids: the prompt and the reply so far.
        cancelled: somebody asked to end it.
        number: later requests have larger ones.
        overtaken: how many that came later have begun before it.
    """

    def __init__(self, request: Request, deliver: Callable[[Event], None], limit: int, wake: Callable[[], None]) -> None:
        """
        Args:
            limit: tokens of the reply that the context has room for.
            wake: called when it was cancelled, so that the engine looks.
        """
        self.request, self._deliver, self._wake = request, deliver, wake
        self.ids = list(request.prompt)
        self.cancelled = False
        self.number = next(_NUMBERS)  # clocks give several requests one time
        self.overtaken = 0
        self._limit = min(limit, request.max_tokens)
        self._sampler = Sampler(request.sampling)
        self._seen, self._generated = set(request.prompt), Counter[int]()
        self._reused = 0
        self._position = 0  # in the queue, as told last
        self._processed = -1  # of the prompt, as told last
        self._submitted = time.monotonic()
        self._started: float | None = None
        self._first: float | None = None
        self._over = False

    def cancel(self) -> None:
        self.cancelled = True
        self._wake()

    @property
    def completion_tokens(self) -> int:
        return len(self.ids) - len(self.request.prompt)

    @property
    def seconds(self) -> float:
        """Since its prefill began; 0 before."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def begin(self, reused: int) -> bool:
        """Its prefill begins, with so many tokens in a cache already. True the first time: after a preemption it begins again."""
        if self._started is not None:
            return False
        self._started, self._reused = time.monotonic(), reused
        return True

    def waits(self, position: int) -> None:
        """It stands there in the queue; told where it changed, to those who want to know."""
        if self.request.progress and self._started is None and position != self._position:
            self._position = position
            self._send(Queued(position))

    def read(self, processed: int) -> None:
        """So many tokens of its prompt are in its cache; told where they became more, until the first token."""
        if self.request.progress and self._first is None and not self._over and processed > self._processed:
            self._processed = processed
            self._send(PromptProgress(len(self.request.prompt), self._reused, processed, self.seconds))

    def advance(self, logits: np.ndarray) -> CompleteReason | None:
        """Choose the next token from logits ``[V]`` and deliver it; why the reply is complete, or None if it goes on.

        Raises:
            YoutuOnnxError: the logits are no numbers, or the constraint failed.
        """
        if self._first is None:
            self.read(len(self.request.prompt))
            self._first = time.monotonic()
        constraint = self.request.constraint
        id_ = self._sampler.pick(
            logits, self._seen, generated=self._generated, allowed=constraint.allowed() if constraint else None
        )
        if id_ in self.request.end_ids:
            return "stop"
        if constraint:
            constraint.accept(id_)
        self.ids.append(id_)
        self._seen.add(id_)
        self._generated[id_] += 1
        self._send(self._token(id_, logits))
        return "length" if self.completion_tokens >= self._limit else None

    def end(self, reason: FinishReason, error: YoutuOnnxError | None = None) -> None:
        """Deliver the last event, once."""
        if self._over:
            return
        self._over = True
        now = time.monotonic()
        started = now if self._started is None else self._started
        first = now if self._first is None else self._first
        self._send(
            Ended(
                reason,
                completion_tokens=self.completion_tokens,
                reused_tokens=self._reused,
                queue_seconds=started - self._submitted,
                prefill_seconds=first - started,
                decode_seconds=now - first,
                error=error,
            )
        )

    def _send(self, event: Event) -> None:
        try:
            self._deliver(event)
        except Exception:  # noqa: BLE001 - nobody listens any more: whatever the listener's failure was, it is not the engine's
            self.cancelled = True

    def _token(self, id_: int, logits: np.ndarray) -> Token:
        count = self.request.logprobs
        if count is None:
            return Token(id_)
        logprobs = log_softmax(logits.astype(np.float64))
        top = likeliest(logprobs, min(count, len(logprobs))).tolist() if count else []
        return Token(id_, float(logprobs[id_]), tuple((one, float(logprobs[one])) for one in top))
