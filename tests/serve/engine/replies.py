"""What tests of the engine ask for, and what they hear."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tests.serve.engine.fake_batch import PATIENCE, VOCABULARY, FakeBatch
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.serve.engine.prefill import ChunkSizes
from youtu_onnx.serve.engine.request import Ended, Event, Request, Token
from youtu_onnx.serve.engine.scheduler import Scheduler

LIKELIEST = Sampling(top_k=1)
"""The same tokens as GREEDY's, of a request that doesn't ask for the same reply always."""
GREEDY = Sampling(greedy=True)
PLENTY = 10**9
SMALL = ChunkSizes(smallest=8, largest=8)
"""Chunks of 8 tokens whatever the speed, so that short prompts have several."""


class Open(Protocol):
    """Makes an engine over a FakeBatch; ``batch``: the FakeBatch's fields."""

    def __call__(
        self,
        *,
        max_queue: int = 64,
        context: int | None = None,
        cache_limit: int = PLENTY,
        chunks: ChunkSizes | None = None,
        **batch: object,
    ) -> tuple[Scheduler, FakeBatch]: ...


class Reply:
    """What was delivered. ``on_event`` is called with each event, on the engine's thread."""

    def __init__(self, on_event: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self.threads: set[str] = set()
        self._on_event, self._over = on_event, threading.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.threads.add(threading.current_thread().name)
        if isinstance(event, Ended):
            self._over.set()
        self._on_event(event)

    def end(self) -> Ended:
        assert self._over.wait(PATIENCE), "the reply never ended"
        [ended] = [event for event in self.events if isinstance(event, Ended)]
        assert self.events[-1] is ended
        assert ended.completion_tokens == len(self.ids)
        assert min(ended.queue_seconds, ended.prefill_seconds, ended.decode_seconds) >= 0
        return ended

    @property
    def tokens(self) -> list[Token]:
        return [event for event in self.events if isinstance(event, Token)]

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]


class Rule:
    """A constraint: tokens whose number is ``place`` modulo 7, in turn; ``fault`` is raised at the third."""

    def __init__(self, fault: tuple[str, BaseException] | None = None) -> None:
        self.accepted: list[int] = []
        self.fault = fault

    def allowed(self) -> np.ndarray:
        self._fail("allowed")
        return np.arange(VOCABULARY) % 7 == len(self.accepted) % 7

    def accept(self, id_: int) -> None:
        self._fail("accept")
        self.accepted.append(id_)

    def _fail(self, where: str) -> None:
        if self.fault and self.fault[0] == where and len(self.accepted) == 2:
            raise self.fault[1]


def request(prompt: Sequence[int], max_tokens: int = 5, **more: object) -> Request:
    return Request(tuple(prompt), max_tokens, **({"sampling": LIKELIEST} | more))


def submit(engine: Scheduler, prompt: Sequence[int], max_tokens: int = 5, **more: object) -> Reply:
    reply = Reply()
    engine.submit(request(prompt, max_tokens, **more), reply)
    return reply


def computed(batch: FakeBatch) -> int:
    """Tokens that went through the model."""
    return sum(len(step.slots) + len(step.chunk) for step in batch.done)
