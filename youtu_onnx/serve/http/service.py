"""What the routes share: the engine, the model's text, limits, and the two ways of an answer: whole, and as a stream."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from youtu_onnx.explain.explainer import Explainer
from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.engine.request import Ended
from youtu_onnx.serve.http import problems, sse
from youtu_onnx.serve.http.metrics import Metrics
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.replies import Json, Replies, ReplyUpdate, WholeReply, updates
from youtu_onnx.serve.http.request_log import USAGE
from youtu_onnx.serve.http.served_models import ServedModels
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.http.submission import Submission
from youtu_onnx.serve.text.model_text import ModelText
from youtu_onnx.serve.text.reply import Part
from youtu_onnx.text.constraint import Grammars


@dataclass
class Gate:
    """``draining``: no more requests are taken."""

    draining: bool = False


@dataclass
class Service:
    """What answers requests with one bundle.

    Attributes:
        explainer: of replies' steps; None: they are not explained.
        gate: of the whole server.
    """

    engine: Engine
    text: ModelText
    settings: Settings
    metrics: Metrics
    explainer: Explainer | None = None
    gate: Gate = field(default_factory=Gate)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _grammars: Grammars | None = None

    @property
    def grammars(self) -> Grammars:
        """Made on first need, which takes up to a second: not on the event loop."""
        with self._lock:
            if self._grammars is None:
                self._grammars = Grammars(self.text, self.engine.vocab_size)
            return self._grammars

    @property
    def models(self) -> ServedModels:
        return ServedModels(self.text.id, self.engine.adapters)

    @property
    def draining(self) -> bool:
        return self.gate.draining

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

    async def answer(self, http: HttpRequest, replies: Replies, make: Callable[[Sequence[WholeReply], Json], Json]) -> Response:
        """Wait for all replies, or until the client leaves. ``make`` gets them and the usage."""
        submission = self._submit(replies)
        work = asyncio.create_task(self._whole(replies, submission))
        leaving = asyncio.create_task(sse.left(http))
        try:
            await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return Response(status_code=499)
            whole, usage = work.result()
            http.scope[USAGE] = usage
            return JSONResponse(make(whole, usage))
        finally:
            submission.cancel()
            for task in (work, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    def stream(
        self,
        http: HttpRequest,
        replies: Replies,
        *,
        begin: Sequence[Json] = (),
        update: Callable[[ReplyUpdate], list[Json]],
        end: Callable[[Json], list[Json]],
        failed: Callable[[Problem], list[Json]] = lambda problem: [problem.body()],
        framing: sse.Framing = sse.COMPLETIONS,
    ) -> Response:
        """Events: those of the beginning, what ``update`` makes of each update, and at last what ``end`` makes of the usage or
        ``failed`` of what went wrong."""
        submission = self._submit(replies, self.settings.behind_limit)

        async def events() -> AsyncIterator[bytes]:
            ended: dict[int, Ended] = {}
            try:
                for value in begin:
                    yield framing.write(value)
                async for one in updates(replies, submission, self.metrics, self.settings.keep_alive_seconds):
                    if one is None:
                        if framing.waiting:
                            yield framing.waiting
                        continue
                    if one.ended is not None:
                        ended[one.number] = one.ended
                    chunk = b"".join(map(framing.write, update(one)))
                    if chunk:
                        yield chunk
                http.scope[USAGE] = usage = replies.usage(ended)
                for value in end(usage):
                    yield framing.write(value)
            except Exception as error:  # noqa: BLE001 - too late for a status
                for value in failed(problems.of(error)):
                    yield framing.write(value)
            if framing.done:
                yield framing.done

        return sse.EventStream(events(), submission.cancel, framing.kind)

    def _submit(self, replies: Replies, behind_limit: int | None = None) -> Submission:
        if self.draining:
            raise problems.draining()
        return Submission(self.engine, replies.requests, behind_limit)

    async def _whole(self, replies: Replies, submission: Submission) -> tuple[list[WholeReply], Json]:
        """The replies, and the usage."""
        parts: list[list[Part]] = [[] for _ in replies.planned]
        whole: dict[int, WholeReply] = {}
        ended: dict[int, Ended] = {}
        async for one in updates(replies, submission, self.metrics):
            assert one is not None  # without a timeout something has happened
            parts[one.number] += one.parts
            if one.finish is not None and one.ended is not None:
                whole[one.number] = WholeReply(parts[one.number], one.finish, one.ended)
                ended[one.number] = one.ended
        return [whole[number] for number in range(len(parts))], replies.usage(ended)


def now() -> int:
    return int(time.time())
