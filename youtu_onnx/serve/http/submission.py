"""Requests in the engine, seen from the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from youtu_onnx.serve.engine.engine import Engine, Ticket
from youtu_onnx.serve.engine.request import Ended, Event, Request, Token


@dataclass(frozen=True)
class NumberedEvent:
    """An event, and the number of the request that it is of."""

    number: int
    event: Event


class Submission:
    """Requests that were submitted together: their events come in one stream, and they are cancelled together.

    Attributes:
        overrun: the reader fell so far behind that the replies were given up.
        begun: when they were submitted, in seconds of ``time.perf_counter``.
        first_token: when the first token came; None before.
    """

    def __init__(self, engine: Engine, requests: Sequence[Request], behind_limit: int | None = None) -> None:
        """Submit them. Only inside a running event loop.

        Args:
            behind_limit: tokens that may wait to be read; None: any number, for a reader that never waits.

        Raises:
            UsageError, Busy, Draining: as :meth:`Engine.submit`; none is left running then.
        """
        self._loop = asyncio.get_running_loop()
        self._events: deque[NumberedEvent] = deque()
        self._more = asyncio.Event()
        self._left = len(requests)
        self._behind_limit = behind_limit
        self._tickets: list[Ticket] = []
        self.overrun = False
        self.begun = time.perf_counter()
        self.first_token: float | None = None
        try:
            for number, request in enumerate(requests):
                self._tickets.append(engine.submit(request, self._deliver(number)))
        except BaseException:
            self.cancel()
            raise

    def cancel(self, number: int | None = None) -> None:
        """End one of the replies, or all, as soon as possible."""
        for ticket in self._tickets if number is None else [self._tickets[number]]:
            ticket.cancel()

    @property
    def done(self) -> bool:
        """Every reply has ended, and that was read."""
        return self._left == 0 and not self._events

    async def next(self, timeout: float | None = None) -> NumberedEvent | None:
        """The next event; None if none came in so many seconds."""
        if not self._events:
            self._more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), timeout)
        return self._events.popleft() if self._events else None

    def _deliver(self, number: int) -> Callable[[Event], None]:
        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._take, number, event)

        return deliver

    def _take(self, number: int, event: Event) -> None:
        if isinstance(event, Ended):
            self._left -= 1
        elif self.overrun:
            return
        elif self._behind_limit is not None and len(self._events) >= self._behind_limit:
            self.overrun = True
            self.cancel()
            return
        if self.first_token is None and isinstance(event, Token):
            self.first_token = time.perf_counter()
        self._events.append(NumberedEvent(number, event))
        self._more.set()
