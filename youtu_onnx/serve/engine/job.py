"""A request on its way through the engine."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from youtu_onnx.chat.generate import FinishReason
from youtu_onnx.chat.sampling import Sampler, likeliest
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.serve.engine.engine import Ended, Event, Request, Token
from youtu_onnx.serve.engine.prefixes import Rows

_NUMBERS = itertools.count()


class Job:
    """State of one reply. All but :meth:`cancel` belongs to the engine's thread. Implements the engine's Ticket.

    Attributes:
        rows: the cache and what is in it; None before the job begins and after it ended.
        ids: the prompt and the reply so far. Rows of all but the last are in the cache while it decodes.
        cancelled: somebody asked to end it.
        number: later jobs have larger ones.
        submitted: when it came, in seconds of the monotonic clock.
    """

    def __init__(self, request: Request, deliver: Callable[[Event], None], limit: int, wake: Callable[[Job], None]) -> None:
        """``limit``: tokens of the reply that the context has room for; ``wake``: tell the engine of a cancelled job."""
        self.request, self._deliver, self._wake = request, deliver, wake
        self.ids = list(request.prompt)
        self.rows: Rows | None = None
        self.cancelled = False
        self._limit = min(limit, request.max_tokens)
        self._sampler = Sampler(request.sampling)
        self._seen, self._generated = set(request.prompt), Counter[int]()
        self._reused = 0
        self.number = next(_NUMBERS)  # clocks give several jobs one time
        self.submitted = time.monotonic()
        self._started = self._first = 0.0
        self._over = False

    def cancel(self) -> None:
        self.cancelled = True
        self._wake(self)

    @property
    def completion_tokens(self) -> int:
        return len(self.ids) - len(self.request.prompt)

    @property
    def missing(self) -> int:
        """Tokens that have to be run before the next one can be chosen."""
        return len(self.ids) - len(self.rows.ids) if self.rows else len(self.ids)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def begin(self, rows: Rows, reused: int) -> bool:
        """It has a place and a cache with ``reused`` of its tokens; True the first time."""
        self.rows, first = rows, not self._started
        if first:
            self._started, self._reused = time.monotonic(), reused
        return first

    def advance(self, logits: np.ndarray) -> FinishReason | None:
        """Choose the next token from logits ``[V]`` and deliver it; why the reply is complete, or None if it goes on.

        Raises:
            YoutuOnnxError: the logits are no numbers, or the constraint failed.
        """
        self._first = self._first or time.monotonic()
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
        started, first = self._started or now, self._first or now
        self._send(
            Ended(reason, self.completion_tokens, self._reused, started - self.submitted, first - started, now - first, error)
        )

    def _send(self, event: Event) -> None:
        try:
            self._deliver(event)
        except Exception:  # nobody listens any more: whatever the listener's failure was, it is not the engine's
            self.cancelled = True

    def _token(self, id_: int, logits: np.ndarray) -> Token:
        count = self.request.logprobs
        if count is None:
            return Token(id_)
        numbers = logits.astype(np.float64)
        numbers -= numbers.max()
        numbers -= np.log(np.exp(numbers).sum())
        ids = likeliest(numbers, min(count, len(numbers))) if count else ()
        return Token(id_, float(numbers[id_]), tuple((int(one), float(numbers[one])) for one in ids))
