"""An engine for tests of the HTTP application: one request after another, on a real bundle, through the whole protocol.

And servers: the application on a real port, in a thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

import numpy as np
import uvicorn
from starlette.types import ASGIApp

from youtu_onnx.chat.finish import FinishReason
from youtu_onnx.chat.sampler import Sampler
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.core.softmax import log_softmax
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.serve.engine.engine import Busy, Draining, EngineStats
from youtu_onnx.serve.engine.request import Ended, Event, Request, Token
from youtu_onnx.serve.http.server import listen

ADD: Any = {
    "name": "add",
    "description": "a + b",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 0, "maximum": 99} for name in "ab"},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}
"""A function that a model may call, without what each API puts around it."""


@dataclass
class OneTicket:
    """A request that was taken; ``cancelled`` may be watched by a test."""

    request: Request
    deliver: Callable[[Event], None]
    taken: float = field(default_factory=time.perf_counter)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        self.cancelled.set()


class OneAtATime:
    """An ``Engine`` with one place.

    Attributes:
        tickets: of all requests, as they came.
        gate: tokens are made while it is set.
        pause: seconds before each token.
    """

    def __init__(self, bundle: Path, *, queue_limit: int = 16, context: int | None = None) -> None:
        self._decoder = OrtDecoder.open(Bundle.open(bundle), threads=1)
        self._cache = TokenCache(self._decoder)
        self._queue: deque[OneTicket] = deque()
        self._changed = threading.Condition()
        self._running = False
        self._closed = False
        self._counts = Counter[str]()
        self.queue_limit = queue_limit
        self._context = context or self._decoder.context_length
        self.tickets: list[OneTicket] = []
        self.gate = threading.Event()
        self.gate.set()
        self.pause = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def adapters(self) -> None:
        return None

    def adapters_changed(self) -> None:
        pass

    @property
    def context_length(self) -> int:
        return self._context

    @property
    def vocab_size(self) -> int:
        return self._decoder.vocab_size

    def submit(self, request: Request, deliver: Callable[[Event], None]) -> OneTicket:
        if not request.prompt or len(request.prompt) + 1 > self.context_length:
            raise UsageError("an empty prompt, or one too long")
        if not all(0 <= id_ < self.vocab_size for id_ in request.prompt):
            raise UsageError("a token outside the vocabulary")
        with self._changed:
            if self._closed:
                raise Draining("closed")
            if len(self._queue) >= self.queue_limit + (not self._running):
                raise Busy("the queue is full", retry_after=1.5)
            ticket = OneTicket(request, deliver)
            self._queue.append(ticket)
            self.tickets.append(ticket)
            self._changed.notify_all()
        return ticket

    def stats(self) -> EngineStats:
        with self._changed:
            return EngineStats(
                queued=len(self._queue),
                running=int(self._running),
                places=1,
                queue_limit=self.queue_limit,
                prompt_tokens=self._counts["prompt"],
                reused_tokens=self._counts["reused"],
                completion_tokens=self._counts["completion"],
                steps=self._counts["steps"],
                cache_bytes=len(self._cache.ids),
                cache_limit=self.context_length,
            )

    def close(self, drain_seconds: float = 0.0) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._queue and not self._running, drain_seconds)
            for ticket in self.tickets:
                ticket.cancel()
        self._thread.join()
        self._decoder.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                ticket = self._queue.popleft()
                self._running = True
            begun = time.perf_counter()
            try:
                ended = self._reply(ticket, begun)
            except YoutuOnnxError as error:
                ended = Ended("cancelled", error=error)
            ticket.deliver(ended)
            with self._changed:
                self._running = False
                self._changed.notify_all()

    def _reply(self, ticket: OneTicket, begun: float) -> Ended:
        request, sampler = ticket.request, Sampler(ticket.request.sampling)
        if ticket.cancelled.is_set():
            return Ended("cancelled", queue_seconds=begun - ticket.taken)
        logits, reused = self._cache.start(request.prompt)
        first = time.perf_counter()
        self._counts.update(prompt=len(request.prompt), reused=reused, steps=1)
        seen, generated = set(request.prompt), Counter[int]()
        limit = min(request.max_tokens, self.context_length - len(request.prompt))
        count = 0
        reason: FinishReason = "length"
        while count < limit:
            while not self.gate.wait(0.01) and not ticket.cancelled.is_set():
                continue
            if ticket.cancelled.wait(self.pause) if self.pause else ticket.cancelled.is_set():
                reason = "cancelled"
                break
            constraint = request.constraint
            id_ = sampler.pick(logits, seen, generated=generated, allowed=None if constraint is None else constraint.allowed())
            if id_ in request.end_ids:
                reason = "stop"
                break
            if constraint is not None:
                constraint.accept(id_)
            count += 1
            seen.add(id_)
            generated[id_] += 1
            self._counts["completion"] += 1
            ticket.deliver(_token(id_, logits, request.logprobs))
            if count < limit:
                logits = self._cache.append([id_])
                self._counts["steps"] += 1
        return Ended(reason, count, reused, begun - ticket.taken, first - begun, time.perf_counter() - first)


def _token(id_: int, logits: np.ndarray, top: int | None) -> Token:
    if top is None:
        return Token(id_)
    logprobs = log_softmax(logits.astype(np.float64))
    likeliest = np.argsort(-logprobs, kind="stable")[:top]
    return Token(id_, float(logprobs[id_]), tuple((int(one), float(logprobs[one])) for one in likeliest))


@contextmanager
def listening(app: ASGIApp, *, send_buffer: int | None = None, http: Any = "auto") -> Iterator[str]:
    """The application on a free port; its URL.

    Args:
        send_buffer: bytes that the system takes before a reader has to read.
        http: as in uvicorn's configuration.
    """
    with listen("127.0.0.1", 0) as socket:
        if send_buffer is not None:
            socket.setsockopt(SOL_SOCKET, SO_SNDBUF, send_buffer)
        server = uvicorn.Server(
            uvicorn.Config(app, http=http, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{socket.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
