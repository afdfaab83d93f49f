"""Paths as clients write them, and what is said of those that lead nowhere.

A base URL is written with ``/v1``, without it and with two of them, with a slash at its end and without. All of these mean the
same routes, so that nobody has to find out which one a program wants. HEAD is GET without the body, on every route.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from youtu_onnx.serve.http.problems import Problem

WITHOUT_V1 = re.compile(r"/(?:chat/completions|completions|responses(?:/.+)?|models(?:/.+)?)")

ELSEWHERE = (
    (re.compile(r"/v1/responses/.*"), "responses are made, fetched by their ids, listed with /input_items, and deleted; no more"),
    (re.compile(r"/v1/embeddings"), "the model writes text and makes no embeddings"),
    (re.compile(r"/v1/messages(?:/.*)?"), "this is Anthropic's API; here is OpenAI's: POST /v1/chat/completions"),
    (re.compile(r"/api/embed(?:dings)?"), "the model writes text and makes no embeddings"),
    (
        re.compile(r"/api/(?:pull|push|create|copy|delete|blobs/.+)"),
        "models are put here by youtu-onnx serve BUNDLE; of Ollama's API there are chat, generate, tags, show, ps and version",
    ),
    (re.compile(r".*/chat/completions"), "the base URL of OpenAI's clients is this server's address and /v1, and no more"),
    (re.compile(r"/v1"), "this is the base URL of OpenAI's clients, who add a route to it"),
)
"""Routes that clients ask for and that aren't here, and what to do instead."""

API = (
    "OpenAI's API is POST /v1/chat/completions, POST /v1/responses, POST /v1/completions and GET /v1/models, and /docs describes "
    "every route"
)


class Paths:
    """ASGI middleware: what is behind it sees a path in one form, and no HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        within = scope["path"].removeprefix(root)
        asked = {**scope, "path": root + plain(within)}
        if scope["method"] != "HEAD":
            await self._app(asked, receive, send)
            return

        async def head_alone(message: Message) -> None:
            await send(message if message["type"] != "http.response.body" else {**message, "body": b""})

        await self._app({**asked, "method": "GET"}, receive, head_alone)


def plain(path: str) -> str:
    """The form in which routes are written."""
    path = re.sub(r"/{2,}", "/", path).rstrip("/") or "/"
    path = re.sub(r"^(?:/v1)+(?=/|$)", "/v1", path)
    return f"/v1{path}" if WITHOUT_V1.fullmatch(path) else path


def check(routes: Sequence[BaseRoute], scope: Scope) -> None:
    """Before a body is read: whether anything answers here.

    Raises:
        Problem: no route, or none for this method.
    """
    methods: set[str] = set()
    for route in routes:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return
        if match is Match.PARTIAL and isinstance(route, Route):
            methods |= route.methods or set()
    path, method = repr(scope["path"][:200]), scope["method"][:20]
    if methods:
        allowed = sorted(methods | ({"HEAD"} if "GET" in methods else set()))
        more = f"; {API}" if scope["path"] == "/" else ""
        raise Problem(
            405,
            f"{method} does nothing at {path}, only {' and '.join(allowed)}{more}",
            code="method_not_allowed",
            headers={"Allow": ", ".join(allowed)},
        )
    instead = next((words for pattern, words in ELSEWHERE if pattern.fullmatch(scope["path"])), API)
    raise Problem(404, f"there is no {path} here; {instead}", code="unknown_url")
