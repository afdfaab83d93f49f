"""One client's connection: what it may hold open without using it, and how many there may be.

uvicorn closes a connection that is idle after an answer, and no other: one that never sends a request, or sends one a byte at a
time, or doesn't read its answer, would stay for ever. limit_concurrency would turn everyone away while such ones are there.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import struct
from functools import partial
from typing import Any, cast

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.settings import Settings

LOOK_SECONDS = 1.0
AHEAD_LIMIT = 64 * 1024
"""Bytes that a client may send of its next requests while it waits for an answer."""
SPARE_DESCRIPTORS = 200
"""For files, the event loop, libraries, and connections that are accepted at once."""
BACKLOG = 128
"""Connections that wait to be accepted; all that wait are accepted together."""
FULL_RETRY_SECONDS = 5


class Connection(H11Protocol):
    """uvicorn's, with h11, which uvicorn always has."""

    def __init__(self, *args: Any, limit: int, idle_seconds: float, stall_seconds: float, **others: Any) -> None:
        super().__init__(*args, **others)
        self._limit, self._idle_seconds, self._stall_seconds = limit, idle_seconds, stall_seconds
        self._idle_since = self._moved = self.loop.time()
        self._unsent = 0
        self._look_later: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """No request waits for its answer. One whose head isn't complete is none yet."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_later = self.loop.call_later(LOOK_SECONDS, self._look)
        if len(self.connections) > self._limit and not self._end_longest_idle():
            self.app = _full

    def _end_longest_idle(self) -> bool:
        idle = [
            other
            for other in self.connections
            if isinstance(other, Connection) and other is not self and other.idle and not other.transport.is_closing()
        ]
        for other in sorted(idle, key=lambda other: other._idle_since):
            if not other._has_unread():
                other.transport.close()
                return True
        return False

    def _has_unread(self) -> bool:
        """Whether bytes have come that the event loop hasn't looked at yet, which may be a request."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.transport.get_extra_info("socket"), selectors.EVENT_READ)
            return bool(selector.select(0))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look_later is not None:
            self._look_later.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.flow.read_paused and self.conn.their_state is h11.DONE:
            # It sent more than one request. Who isn't read isn't seen leaving either, and would be written for.
            if len(self.conn.trailing_data[0]) > AHEAD_LIMIT:
                self._reset()
            else:
                self.flow.resume_reading()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        self._moved = self.loop.time()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """In the shape of all errors. Where an answer has begun, there is no room for another one."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = Problem(
                400, "this is no HTTP, HTTP/1.1 without a Host header, or more than 16 KiB of headers", code="invalid_http"
            ).response()
            headers = [*answer.raw_headers, (b"connection", b"close")]
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _look(self) -> None:
        """End it where nothing moves; else look again."""
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._moved = now
        self._unsent = unsent
        if not self.idle:
            self._idle_since = now
        if now - self._moved >= self._stall_seconds:
            self._reset()
        elif now - self._idle_since >= self._idle_seconds and not self.transport.is_closing():
            self.transport.close()
        self._look_later = self.loop.call_later(LOOK_SECONDS, self._look)

    def _reset(self) -> None:
        """Closing would wait for what isn't read: here, and then in the system, which would keep the bytes for minutes."""
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """The application of a connection for which there is no room."""
    problem = Problem(
        503,
        "the server has as many connections as it takes; ask again later",
        code="too_many_connections",
        headers={"Retry-After": str(FULL_RETRY_SECONDS), "Connection": "close"},
    )
    await problem.response()(scope, receive, send)


def protocol(settings: Settings) -> type[asyncio.Protocol]:
    """For uvicorn's ``http``: a class in its eyes, which it does nothing with but to call it for each connection. Workers get it
    pickled, so it is no class made here.

    Raises:
        UsageError: more connections than descriptors.
    """
    made = partial(
        Connection,
        limit=connection_limit(settings.connections),
        idle_seconds=settings.idle_seconds,
        stall_seconds=settings.stall_seconds,
    )
    return cast("type[asyncio.Protocol]", made)


def connection_limit(asked: int | None) -> int:
    """Connections at once; None: 1000, or as many as there are descriptors for.

    Raises:
        UsageError: there aren't descriptors for as many as were asked for.
    """
    room = _descriptors() - SPARE_DESCRIPTORS
    if asked is None:
        return max(1, min(1000, room))
    if asked > room:
        raise UsageError(
            f"{asked} connections need {asked + SPARE_DESCRIPTORS} open files, and this process may have "
            f"{room + SPARE_DESCRIPTORS}",
            hint="raise the limit (ulimit -n), or pass a smaller --limit-connections",
        )
    return asked


def _descriptors() -> int:
    try:
        import resource
    except ModuleNotFoundError:  # Windows counts no sockets
        return 1 << 20
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (1 << 20) if soft == resource.RLIM_INFINITY else soft
