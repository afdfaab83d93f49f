"""What stands before the routes: who may ask, by which name, and how much. Plain ASGI, so that streams pass untouched."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from youtu_onnx.serve.http import paths, problems
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.settings import Settings

OPEN_PATHS = re.compile(r"/|/health|/static/.*|/favicon\.ico")
"""What needs no key: the page's files, which hold nothing, and the health check."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuses what may not pass, and reads bodies up to a limit; whatever fails behind it becomes an error in OpenAI's shape.

    ``routes``: of the application; where none answers, no body is read.
    """

    def __init__(self, app: ASGIApp, settings: Settings, routes: Sequence[BaseRoute]) -> None:
        self._app, self._settings, self._routes = app, settings, routes
        self._keys = [_digest(key) for key in settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._check_host(headers)
            if not OPEN_PATHS.fullmatch(scope["path"]):
                self._check_key(headers)
            paths.check(self._routes, scope)
            if scope["method"] in ("POST", "PUT", "PATCH"):
                receive = await self._read(headers, receive)
            await self._app(scope, receive, sending)
        except Exception as error:
            if begun:
                raise
            await problems.of(error).response(scope["path"])(scope, receive, sending)

    def _check_host(self, headers: Headers) -> None:
        hosts, host = self._settings.hosts, headers.get("host")
        if hosts is None or host is None:  # no browser leaves it out; HTTP/1.0's health checks do
            return
        if host_name(host) not in hosts:
            raise Problem(
                403, f"this server answers to {', '.join(hosts)} alone, and was asked for as {host[:100]!r}", code="wrong_host"
            )

    def _check_key(self, headers: Headers) -> None:
        if not self._keys:
            return
        kind, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip() if kind.lower() == "bearer" else "")
        # every key is compared, each in constant time
        if not sum(hmac.compare_digest(given, one) for one in self._keys):
            raise Problem(
                401,
                "no API key, or a wrong one: send Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _read(self, headers: Headers, receive: Receive) -> Receive:
        """Read the body; the ``receive`` that gives it to the application, and after it what the server's own says."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(
                415, f"the body is {kind[:100] or 'of no type'}; send Content-Type: application/json", code="wrong_content_type"
            )
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise Problem(
                415,
                f"the body is encoded ({encoding[:40]}); send it as it is, without Content-Encoding",
                code="wrong_content_encoding",
                headers={"Accept-Encoding": "identity"},
            )
        limit = self._settings.body_limit
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return _replay([message], receive)
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > limit:
                        raise Problem(
                            413, f"the body is larger than {limit} bytes", code="body_too_large", headers={"Connection": "close"}
                        )
        except TimeoutError:
            raise Problem(
                408, f"the body took longer than {self._settings.body_seconds:g} seconds", headers={"Connection": "close"}
            ) from None
        if json_depth(bytes(body)) > self._settings.depth_limit:
            raise Problem(
                400, f"the body has more than {self._settings.depth_limit} levels of objects and lists", code="too_deep"
            )
        return _replay([{"type": "http.request", "body": bytes(body), "more_body": False}], receive)


def host_name(host: str) -> str:
    """Of a Host header, without its port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rsplit(":", 1)[0]
    return name.lower().rstrip(".")


def json_depth(body: bytes) -> int:
    """The most objects and lists that are inside one another. Of what is no JSON, some number; none too small where a parser
    would go deep."""
    deepest = depth = 0
    for mark in _MARKS.findall(body):
        if mark in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in b"}]":
            depth -= 1
    return deepest


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
"""Strings whole, so that brackets in them don't count."""


def _replay(messages: Sequence[Message], receive: Receive) -> Receive:
    waiting = list(messages)

    async def replaying() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return replaying


def _digest(key: str) -> bytes:
    """Of one length whatever the key's, so that comparing takes the same time."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
