"""What the routes share: the engine, the model's text, and how replies are followed from the engine to a client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from youtu_onnx.serve.engine.engine import Ended, Engine, Request, Token
from youtu_onnx.serve.http import problems, sse
from youtu_onnx.serve.http.metrics import Metrics
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.running import Running
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.constraint import GrammarConstraint, Grammars
from youtu_onnx.serve.text.model_text import ModelText
from youtu_onnx.serve.text.reply import Part, Reply

Finish = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Step:
    """What one event meant for a client. ``finish`` and ``ended`` are there with a reply's last parts."""

    number: int
    parts: list[Part]
    finish: Finish | None = None
    ended: Ended | None = None


@dataclass(frozen=True)
class Job:
    """Replies to make for one HTTP request.

    Attributes:
        requests, replies: of each, what the engine gets and who reads its tokens.
        copies: replies to each prompt; those of one prompt stand together.
        named_tool: the caller named the tool to call, and so knows without being told that it was.
    """

    requests: list[Request]
    replies: list[Reply]
    copies: int = 1
    named_tool: bool = False

    def usage(self, ended: dict[int, Ended]) -> dict[str, Any]:
        """Token counts; a prompt of several replies counts once."""
        first = range(0, len(self.requests), self.copies)
        prompt = sum(len(self.requests[number].prompt) for number in first)
        completion = sum(reply.count for reply in self.replies)
        cached = sum(ended[number].reused_tokens for number in first if number in ended)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


@dataclass
class Service:
    """One server's state.

    Attributes:
        draining: no more requests are taken.
    """

    engine: Engine
    text: ModelText
    settings: Settings
    metrics: Metrics
    draining: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _grammars: Grammars | None = None

    @property
    def grammars(self) -> Grammars:
        """Made on first need, which takes up to a second: not on the event loop."""
        with self._lock:
            if self._grammars is None:
                self._grammars = Grammars(self.text, self.engine.vocab_size)
            return self._grammars

    def check_model(self, name: str | None) -> None:
        if name is not None and name != self.text.id:
            raise Problem(404, f"no model {name!r} here; this server has {self.text.id!r}", param="model", code="model_not_found")

    def check_prompt(self, ids: Sequence[int], param: str) -> None:
        room = self.engine.context_length - 1
        if len(ids) > room:
            raise Problem(
                400,
                f"the prompt has {len(ids)} tokens; the context of {room + 1} leaves room for {room}",
                param=param,
                code="context_length_exceeded",
            )

    def check_count(self, count: int) -> None:
        if count > self.settings.replies_limit:
            raise Problem(
                400,
                f"{count} replies were asked for; one request may have {self.settings.replies_limit}",
                param="n",
                code="invalid_value",
            )

    async def answer(
        self, http: HttpRequest, job: Job, make: Callable[[list[list[Part]], list[Finish], dict[str, Any]], Any]
    ) -> Response:
        """Wait for all replies, or until the client leaves. ``make`` gets the parts and reasons of each, and the usage."""
        running = self._submit(job)
        work = asyncio.create_task(self._gather(job, running))
        leaving = asyncio.create_task(sse.left(http))
        try:
            await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return Response(status_code=499)
            return JSONResponse(make(*work.result()))
        finally:
            running.cancel()
            for task in (work, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    def stream(
        self, job: Job, write: Callable[[Step], list[Any]], begin: Sequence[Any], end: Callable[[dict[str, Any]], list[Any]]
    ) -> Response:
        """Events: the beginning, what ``write`` makes of each step, and the end, which gets the usage."""
        running = self._submit(job, self.settings.behind_limit)

        async def events() -> AsyncIterator[bytes]:
            ended: dict[int, Ended] = {}
            try:
                for value in begin:
                    yield sse.event(value)
                async for step in self._steps(job, running, self.settings.keep_alive_seconds):
                    if step is None:
                        yield sse.KEEP_ALIVE
                        continue
                    if step.ended is not None:
                        ended[step.number] = step.ended
                    chunk = b"".join(map(sse.event, write(step)))
                    if chunk:
                        yield chunk
                for value in end(job.usage(ended)):
                    yield sse.event(value)
            except Exception as error:  # too late for a status
                yield sse.event(problems.of(error).body())
            yield sse.DONE

        return sse.EventStream(events(), running.cancel)

    def _submit(self, job: Job, behind_limit: int | None = None) -> Running:
        if self.draining:
            raise problems.draining()
        return Running(self.engine, job.requests, behind_limit)

    async def _gather(self, job: Job, running: Running) -> tuple[list[list[Part]], list[Finish], dict[str, Any]]:
        parts: list[list[Part]] = [[] for _ in job.requests]
        reasons: dict[int, Finish] = {}
        ended: dict[int, Ended] = {}
        async for step in self._steps(job, running, None):
            assert step is not None
            parts[step.number] += step.parts
            if step.finish is not None and step.ended is not None:
                reasons[step.number], ended[step.number] = step.finish, step.ended
        return parts, [reasons[number] for number in range(len(parts))], job.usage(ended)

    async def _steps(self, job: Job, running: Running, timeout: float | None) -> AsyncIterator[Step | None]:
        """What happens to the replies, until all have ended; None where nothing did for so long."""
        begun = False
        while not running.done:
            item = await running.next(timeout)
            if running.overrun:
                raise Problem(400, "the reader of the stream fell too far behind", code="reader_too_slow")
            if item is None:
                yield None
                continue
            number, event = item
            reply = job.replies[number]
            if not begun and running.first_token is not None:
                begun = True
                self.metrics.began(running.first_token - running.begun)
            if isinstance(event, Token):
                parts = reply.push(event)
                if reply.stopped:
                    running.cancel(number)
                if parts:
                    yield Step(number, parts)
            else:
                self.metrics.ended(event)
                finish = _reason(job, number, event)
                yield Step(number, reply.finish(), finish, event)


def _reason(job: Job, number: int, ended: Ended) -> Finish:
    reply, constraint = job.replies[number], job.requests[number].constraint
    if ended.error is not None:
        raise ended.error
    if reply.stopped:
        return "stop"
    if isinstance(constraint, GrammarConstraint) and constraint.failure is not None:
        raise Problem(500, f"the grammar of this reply became too complex: {constraint.failure[:300]}", code="constraint_failed")
    if ended.reason == "cancelled":
        raise problems.draining()
    if ended.reason == "stop" and reply.calls and not job.named_tool:
        return "tool_calls"
    return ended.reason


def now() -> int:
    return int(time.time())
