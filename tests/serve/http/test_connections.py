"""Connections to a server that has room for few."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.serve.http.serving import listening
from youtu_onnx.serve.http.connections import protocol
from youtu_onnx.serve.http.settings import Settings


def test_who_sent_a_request_that_was_not_read_yet_is_not_idle() -> None:
    """The event loop is held while one client asks and another one comes, and hears of both at once."""
    held = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/hold":
            held.set()
            time.sleep(0.3)
            await asyncio.sleep(0.3)
        await PlainTextResponse(scope["path"])(scope, receive, send)

    with listening(application, http=protocol(Settings(connections=2))) as url, ExitStack() as stack:

        def asked(path: str) -> socket.socket:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return client

        holder = asked("/hold")
        assert held.wait(30)
        first, second = asked("/first"), asked("/second")
        assert [status(client) for client in (holder, first, second)] == [b"200", b"200", b"503"]


def status(client: socket.socket) -> bytes:
    """Of a connection's only answer."""
    with client.makefile("rb") as answer:
        return answer.readline().split()[1]
