"""Listening, and stopping: an application on uvicorn."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.serve.http import connections
from youtu_onnx.serve.http.bundles import Bundles, bundles_of

CLOSING_SECONDS = 5
"""After the engine's end, for the last bytes to reach their clients."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that the port is known before the model is loaded.

    Raises:
        UsageError: an address that this machine doesn't have.
        ResourceError: the port is taken, or not for this user.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"no address {host!r}: {error}", hint="use --host 127.0.0.1, or 0.0.0.0 for all") from error
    listening = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ResourceError(
            f"can't listen at {host}, port {port}: {error.strerror or error}",
            hint="choose another --port, or end what uses this one",
        ) from error
    return listening


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run(app: FastAPI, listening: socket.socket, *, drain_seconds: float, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until SIGTERM or SIGINT, then take nothing new, let replies end for so long, and cancel the rest.

    Args:
        ready: called once, when requests are answered.
    """
    bundles = bundles_of(app)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        http=connections.protocol(bundles.settings),
        ws="none",
        backlog=connections.BACKLOG,
        timeout_keep_alive=int(bundles.settings.idle_seconds),
        timeout_graceful_shutdown=CLOSING_SECONDS,
    )
    Server(config, bundles, drain_seconds, ready).run([listening])


class Server(uvicorn.Server):
    """uvicorn's, but a signal drains the engine first, and then the program ends as one that did its work."""

    def __init__(self, config: uvicorn.Config, bundles: Bundles, drain_seconds: float, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._bundles, self._drain_seconds, self._ready = bundles, drain_seconds, ready
        self._draining: threading.Thread | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """The first signal drains; a second one (Ctrl-C again) doesn't wait for that."""
        if self._draining is not None:
            self.should_exit = True
            self.force_exit = number == signal.SIGINT
            return
        self._bundles.gate.draining = True
        self._draining = threading.Thread(target=self._drain, name="drain", daemon=True)
        self._draining.start()

    def _drain(self) -> None:
        try:
            self._bundles.close(self._drain_seconds)
        finally:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._draining is None:  # it ends without a signal, in a test or in another program
            await asyncio.to_thread(self._bundles.close, 0.0)
        await super().shutdown(sockets)
