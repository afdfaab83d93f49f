"""What the HTTP application asks of an engine: requests in token ids, and their tokens as they come.

An engine runs in threads of its own. Nothing here knows of HTTP or of text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from youtu_onnx.chat.generate import FinishReason
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.errors import YoutuOnnxError


class Constraint(Protocol):
    """A grammar's state while one reply is written. Used by the engine's thread alone."""

    def allowed(self) -> np.ndarray:
        """Which tokens may come next, bool ``[V]``; at least one."""

    def accept(self, id_: int) -> None:
        """The reply went on with this token, one of the allowed."""


@dataclass(frozen=True)
class Request:
    """One reply to write.

    Attributes:
        prompt: token ids, at least one, and fewer than the context's length.
        max_tokens: at most so many tokens; the engine stops at the context's end, too.
        sampling: how tokens are chosen.
        end_ids: tokens that end the reply. They are not delivered.
        logprobs: None: none are wanted; else of each token its own, and those of so many likeliest.
        constraint: what the reply has to obey; None: nothing.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    end_ids: frozenset[int] = frozenset()
    logprobs: int | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True)
class Token:
    """One token of a reply.

    Attributes:
        id: its number in the vocabulary.
        logprob: natural logarithm of its probability after softmax of the model's logits, before temperature, penalties and
            constraints; None where not asked for.
        top: the likeliest tokens and their logprobs, likeliest first.
    """

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Ended:
    """The last event of every request.

    Attributes:
        reason: ``stop`` (an end token, or the constraint is complete), ``length`` or ``cancelled``.
        completion_tokens: delivered tokens.
        reused_tokens: of the prompt, those that a cache held already.
        queue_seconds, prefill_seconds, decode_seconds: waiting for a place; from then to the first token; from then to the end.
        error: what ended it before its time; ``reason`` is ``cancelled`` then.
    """

    reason: FinishReason
    completion_tokens: int = 0
    reused_tokens: int = 0
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    error: YoutuOnnxError | None = None


Event = Token | Ended


class Busy(YoutuOnnxError):
    """The queue is full. ``retry_after``: seconds after which a place is likely."""

    def __init__(self, message: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Draining(YoutuOnnxError):
    """The engine takes no more requests: it is about to end."""


class Ticket(Protocol):
    """A request that was taken."""

    def cancel(self) -> None:
        """End it as soon as possible and free its place; from any thread, any number of times, also after its end."""


@dataclass(frozen=True)
class EngineStats:
    """Where an engine stands.

    Attributes:
        queued, running: requests that wait, and that have a place.
        places: requests that run at once.
        queue_limit: requests that may wait.
        prompt_tokens, reused_tokens, completion_tokens: since the start; of the prompts' tokens, those found in a cache.
        steps: runs of the model since the start.
        cache_bytes: memory of all cached rows, of running sequences and of kept prefixes.
        cache_limit: most that they may take.
        taking: whether requests are taken: not after :meth:`Engine.close`, nor after the engine failed for good.
    """

    queued: int
    running: int
    places: int
    queue_limit: int
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    steps: int
    cache_bytes: int
    cache_limit: int
    taking: bool = True


class Engine(Protocol):
    """Answers requests, several at once."""

    @property
    def context_length(self) -> int:
        """The most tokens of a prompt and its reply."""

    @property
    def vocab_size(self) -> int:
        """V, the width of logits and of a constraint's mask."""

    def submit(self, request: Request, deliver: Callable[[Event], None]) -> Ticket:
        """Take a request. ``deliver`` is called on the engine's thread, for each token and once with :class:`Ended`; it must
        return at once and not raise.

        Raises:
            UsageError: an empty prompt, ids outside the vocabulary, or no room for a reply in the context.
            Busy: the queue is full.
            Draining: after :meth:`close`.
        """

    def stats(self) -> EngineStats:
        """From any thread, at any time."""

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take no more requests, let those taken end for so long, cancel the rest, and free the model."""
