"""Server-Sent Events over ASGI: written as fast as the client reads, and ended when it leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


def event(value: Any) -> bytes:
    """One event with a JSON object."""
    return b"data: " + dumped(value) + b"\n\n"


def named_event(value: Any) -> bytes:
    """One event that is called by its ``type``, as those of OpenAI's Responses are."""
    name: str = value["type"]
    return b"event: " + name.encode() + b"\n" + event(value)


def json_line(value: Any) -> bytes:
    """A line with a JSON object."""
    return dumped(value) + b"\n"


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass(frozen=True)
class Framing:
    """How a stream is written.

    Attributes:
        kind: its content type.
        write: an object as bytes.
        waiting: what is sent where there was nothing to say for a while.
        done: what is sent at the end.
    """

    kind: str
    write: Callable[[Any], bytes]
    waiting: bytes = b""
    done: bytes = b""


COMMENT = b": waiting\n\n"
COMPLETIONS = Framing("text/event-stream", event, COMMENT, b"data: [DONE]\n\n")
RESPONSES = Framing("text/event-stream", named_event, COMMENT)
LINES = Framing("application/x-ndjson", json_line)


class EventStream(Response):
    """A response of events, or of what stands for them in another ``kind`` of content. ``left`` is called once, whatever ends it:
    the client, the events or an error."""

    def __init__(self, events: AsyncIterator[bytes], left: Callable[[], None], kind: str) -> None:
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
