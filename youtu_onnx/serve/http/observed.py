"""Which status an HTTP request got."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEFT = 499
"""The client left before an answer."""


async def observed(app: ASGIApp, scope: Scope, receive: Receive, send: Send, ended: Callable[[int], None]) -> None:
    """Let ``app`` answer, and say the status once it is over, however it ends. What is no HTTP request has none."""
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    status = LEFT

    async def sending(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, sending)
    finally:
        ended(status)
