"""A server for the page: the HTTP contract with scripted replies and faults, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import latex2mathml.converter
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from youtu_onnx.serve.http import page_files

PAGE = page_files.FOLDER
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
KEYED = ("/v1/models", "/v1/chat/completions", "/render", "/explain")
MODEL: dict[str, Any] = {
    "id": "youtu-nano",
    "object": "model",
    "context_length": 4096,
    "thinking": True,
    "defaults": {"temperature": 1.0, "top_p": 0.95, "top_k": 20, "max_tokens": 1024},
}


@dataclass
class Reply:
    """A streamed answer.

    Attributes:
        pause: seconds between pieces.
        thought, halfway: the stream stands still after the thinking, and after half of the text, until these are set.
        error: sent in place of the rest after half of the text.
        cut: the connection ends after half of the text.
        signs: members of chunks without choices that come before everything else, each with what is then waited for.
        silent: nothing is sent, headers neither, until it is set.
        at_once: everything after ``thought`` is one piece of the stream.
        logprobs: of the text's pieces, where they were asked for.
    """

    text: str = "Well."
    thinking: str = ""
    pause: float = 0.0
    thought: threading.Event | None = None
    halfway: threading.Event | None = None
    error: str | None = None
    cut: bool = False
    finish: str = "stop"
    signs: list[tuple[dict[str, Any], threading.Event]] = field(default_factory=list)
    silent: threading.Event | None = None
    at_once: bool = False
    logprobs: list[float] | None = None


@dataclass
class Refusal:
    """An answer with an error's status."""

    status: int
    message: str = "no"
    retry_after: float | None = None
    code: str | None = None
    param: str | None = None


@dataclass
class Scripted:
    """What the server does and has seen; tests change it while it runs. An empty script answers "Well.".

    Attributes:
        cut: paths whose answers break off: status, headers and half of the body come.
    """

    script: deque[Reply | Refusal] = field(default_factory=deque)
    models: list[dict[str, Any]] = field(default_factory=lambda: [MODEL])
    key: str | None = None
    healthy: bool = True
    cut: frozenset[str] = frozenset()
    render: Callable[[str], str] | None = None
    explain: Callable[[dict[str, Any]], dict[str, Any] | Refusal] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    cancelled: int = 0
    rendering: int = 0
    most_renderings: int = 0
    renderings: int = 0


class PageServer:
    """Serves the page on a port of its own; can be stopped, and started again on the same port."""

    def __init__(self) -> None:
        self.state = Scripted()
        self._port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/behind/a/prefix/"

    def start(self) -> None:
        app = FastAPI()
        app.mount("/behind/a/prefix", application(lambda: self.state))
        config = uvicorn.Config(app, host="127.0.0.1", port=self._port, log_level="critical", timeout_graceful_shutdown=0)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), f"port {self._port} can't be opened"
            time.sleep(0.01)
        self._port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        assert self._server and self._thread
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()


@contextmanager
def serving() -> Iterator[PageServer]:
    server = PageServer()
    server.start()
    yield server
    server.stop()


class Guard:
    """Wants the key, says the policy, and may answer that the server isn't ready."""

    def __init__(self, app: ASGIApp, state: Callable[[], Scripted]) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = self._state()
        authorization = Headers(scope=scope).get("authorization")
        state.authorizations.append(authorization)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not state.healthy and path == "/v1/models":
            return await refuse(Refusal(503, "not ready"))(scope, receive, send)
        if state.key and path in KEYED and authorization != f"Bearer {state.key}":
            return await refuse(Refusal(401, "an API key is needed"))(scope, receive, send)

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            elif path in state.cut:
                message["body"] = message["body"][: len(message["body"]) // 2]
            await send(message)

        return await self._app(scope, receive, with_policy)


def application(state: Callable[[], Scripted]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(Guard, state=state)

    @app.get("/health")
    def health() -> Response:
        return JSONResponse({"status": "ok"}) if state().healthy else JSONResponse({"status": "draining"}, 503)

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": state().models}

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        state().requests.append(await request.json())
        reply = state().script.popleft() if state().script else Reply()
        if isinstance(reply, Refusal):
            return refuse(reply)
        async for _ in stand(reply.silent):
            pass
        return StreamingResponse(stream(reply, state()), media_type="text/event-stream")

    @app.post("/render")
    async def rendered(request: Request) -> dict[str, str]:
        now = state()
        now.rendering += 1
        now.renderings += 1
        now.most_renderings = max(now.most_renderings, now.rendering)
        await asyncio.sleep(0.01)
        now.rendering -= 1
        return {"html": (now.render or render)((await request.json())["markdown"])}

    @app.post("/explain")
    async def explained(request: Request) -> Any:
        explain = state().explain
        made = Refusal(404, "no such route") if explain is None else explain(await request.json())
        return refuse(made) if isinstance(made, Refusal) else made

    page_files.add(app)
    return app


def refuse(refusal: Refusal) -> JSONResponse:
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    body = {"error": {"message": refusal.message, "type": "invalid_request_error", "param": refusal.param, "code": refusal.code}}
    return JSONResponse(body, refusal.status, headers)


def event(**fields: Any) -> str:
    return f"data: {json.dumps({'id': 'x', 'object': 'chat.completion.chunk', **fields})}\n\n"


def delta(finish: str | None = None, logprob: tuple[str, float] | None = None, **fields: str) -> str:
    choice: dict[str, Any] = {"index": 0, "delta": fields, "finish_reason": finish}
    if logprob is not None:
        other = {"token": "other", "logprob": -3.0}
        one = {"token": logprob[0], "logprob": logprob[1]}
        choice["logprobs"] = {"content": [one | {"top_logprobs": [one, other]}]}
    return event(choices=[choice])


async def stand(gate: threading.Event | None) -> AsyncIterator[str]:
    while gate and not gate.is_set():
        yield ": keep-alive\n\n"
        await asyncio.sleep(0.02)


async def stream(reply: Reply, state: Scripted) -> AsyncIterator[str]:
    try:
        yield ": keep-alive\n\n"
        for sign, gate in reply.signs:
            yield event(choices=[], **sign)
            async for line in stand(gate):
                yield line
        yield delta(role="assistant", content="")
        for piece in pieces(reply.thinking):
            yield delta(reasoning_content=piece)
            await asyncio.sleep(reply.pause)
        async for line in stand(reply.thought):
            yield line
        if reply.at_once:
            yield "".join([line async for line in answer(reply)])
        else:
            async for line in answer(reply):
                yield line
    except asyncio.CancelledError:
        state.cancelled += 1
        raise


async def answer(reply: Reply) -> AsyncIterator[str]:
    """The text, and the end."""
    text = pieces(reply.text)
    half = (len(text) + 1) // 2
    likely = [None] * len(text) if reply.logprobs is None else list(zip(text, reply.logprobs, strict=True))
    for piece, logprob in list(zip(text, likely, strict=True))[:half]:
        yield delta(logprob=logprob, content=piece)
        await asyncio.sleep(reply.pause)
    async for line in stand(reply.halfway):
        yield line
    if reply.cut:
        return
    if reply.error is not None:
        yield event(error={"message": reply.error, "type": "server_error", "param": None, "code": None})
        return
    for piece, logprob in list(zip(text, likely, strict=True))[half:]:
        yield delta(logprob=logprob, content=piece)
        await asyncio.sleep(reply.pause)
    yield delta(finish=reply.finish)
    usage = {"prompt_tokens": 20, "completion_tokens": len(pieces(reply.thinking)) + len(text)}
    yield event(choices=[], usage=usage | {"total_tokens": sum(usage.values())})
    yield "data: [DONE]\n\n"


def pieces(text: str) -> list[str]:
    """About as long as tokens are."""
    return re.findall(r"\s*\S{1,5}|\s+", text)


def render(markdown: str) -> str:
    """As the application does it: no HTML, pygments' classes, MathML."""

    def highlighted(code: str, language: str, _: str) -> str:
        try:
            return highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True))
        except ClassNotFound:
            return ""

    renderer = MarkdownIt("commonmark", {"html": False, "highlight": highlighted}).enable(["table", "strikethrough"])
    renderer.use(tasklists_plugin).use(footnote_plugin)
    dollarmath_plugin(
        renderer,
        renderer=lambda text, options: latex2mathml.converter.convert(
            text, display="block" if options["display_mode"] else "inline"
        ),
        double_inline=True,
    )
    return renderer.render(markdown)
