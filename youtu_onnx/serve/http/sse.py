"""Server-Sent Events over ASGI: written as fast as the client reads, and ended when it leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEEP_ALIVE = b": waiting\n\n"
DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    """One event with a JSON object."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"


class EventStream(Response):
    """A response of events. ``left`` is called once, whatever ends it: the client, the events or an error."""

    def __init__(self, events: AsyncIterator[bytes], left: Callable[[], None], *, kind: str = "text/event-stream") -> None:
        """``kind``: of the content; of another kind, ``events`` are whatever stands for one there."""
        super().__init__(media_type=kind, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events, self._left = events, left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(left(Request(scope, receive)))
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._left()
            for task in (writing, leaving):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await leaving
            with suppress(asyncio.CancelledError, OSError):  # OSError: some servers tell so that the client is gone
                await writing

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._events:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # sending may not wait: others go on, and a client that is gone is seen
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def left(request: Request) -> None:
    """Returns when the client has gone away. The body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
