"""A line for each answered request, for the server's operator: who asked for what, and never what was said."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from youtu_onnx.serve.http.observed import observed

USAGE = "youtu_onnx.usage"
"""Where in a request's scope its token counts are, once they are known."""

LONGEST = 200
"""Characters of a path."""


class LogRequests:
    """ASGI middleware. ``told``: takes the lines."""

    def __init__(self, app: ASGIApp, told: Callable[[str], None]) -> None:
        self._app, self._told = app, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        await observed(
            self._app, scope, receive, send, lambda status: self._told(line(scope, status, time.perf_counter() - begun))
        )


def line(scope: Scope, status: int, seconds: float) -> str:
    """Of one request. What a client made up is shown so that it can't act on a terminal or begin a line of its own."""
    asked = f"{scope['method'][:20]} {scope['path'][:LONGEST]}".encode("ascii", "backslashreplace").decode()
    shown = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in asked)
    client = scope.get("client")
    words = [time.strftime("%H:%M:%S"), client[0] if client else "-", shown, str(status), f"{seconds:.2f} s"]
    return " ".join(words) + tokens(scope.get(USAGE))


def tokens(usage: Mapping[str, Any] | None) -> str:
    """``usage``: as :meth:`youtu_onnx.serve.http.replies.Replies.usage` has it."""
    if usage is None:
        return ""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return f", {usage['prompt_tokens']} tokens of prompt ({cached} cached), {usage['completion_tokens']} of reply"
