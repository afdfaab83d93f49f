"""The Engine: takes requests in token ids, and delivers their tokens as they come. It runs in threads of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.runtimes.adapters import Adapters
from youtu_onnx.serve.engine.request import Event, Request


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
        cache_bytes: memory of all caches, of running sequences and of the prefix cache.
        cache_limit: most that they may take.
        drain_seconds: None while requests are taken. After :meth:`Engine.close`, or when the engine failed for good: in how
            many seconds what still runs is cancelled; 0 where that time is over.
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
    drain_seconds: float | None = None

    @property
    def taking(self) -> bool:
        """Whether requests are taken."""
        return self.drain_seconds is None


class Engine(Protocol):
    """Answers requests, several at once."""

    @property
    def context_length(self) -> int:
        """The most tokens of a prompt and its reply."""

    @property
    def vocab_size(self) -> int:
        """V, the width of logits and of a constraint's mask."""

    @property
    def adapters(self) -> Adapters | None:
        """Those that requests can be answered with; None where the model takes none."""

    def adapters_changed(self) -> None:
        """Free what is kept of adapters that were unloaded or replaced. Replies that use one go on; from any thread."""

    def submit(self, request: Request, deliver: Callable[[Event], None]) -> Ticket:
        """Take a request. ``deliver`` is called on the engine's thread, for each token and once with :class:`Ended`, and if the
        request asks for it, before the first token with where it waits and how far its prompt is read. It must return at once and
        not raise.

        Raises:
            UsageError: an empty prompt, ids outside the vocabulary, or no room for a reply in the context.
            Busy: the queue is full.
            Draining: after :meth:`close`.
        """

    def stats(self) -> EngineStats:
        """From any thread, at any time."""

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take no more requests, let those taken end for so long, cancel the rest, and free the model."""
