"""The replies that one HTTP request asks for, and what comes of them: events of the engine, read as text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from youtu_onnx.serve.engine.request import Ended, PromptProgress, Queued, Request, Token
from youtu_onnx.serve.http import problems
from youtu_onnx.serve.http.answers import AnswerFinish
from youtu_onnx.serve.http.metrics import Metrics
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.submission import Submission
from youtu_onnx.serve.text.reply import Part, ReplyReader
from youtu_onnx.text.constraint import GrammarConstraint

Json = dict[str, Any]


@dataclass(frozen=True)
class PlannedReply:
    """What the engine gets for one reply, and who reads its tokens."""

    request: Request
    reader: ReplyReader


@dataclass(frozen=True)
class Replies:
    """All replies to one HTTP request, numbered from 0.

    Attributes:
        copies: replies to each prompt; those of one prompt stand together.
        named_tool: the caller named the tool to call, and so knows without being told that it was.
    """

    planned: tuple[PlannedReply, ...]
    copies: int = 1
    named_tool: bool = False

    @property
    def requests(self) -> list[Request]:
        return [one.request for one in self.planned]

    def usage(self, ended: Mapping[int, Ended]) -> Json:
        """Token counts; a prompt of several replies counts once."""
        first = range(0, len(self.planned), self.copies)
        prompt = sum(len(self.planned[number].request.prompt) for number in first)
        completion = sum(one.reader.count for one in self.planned)
        cached = sum(ended[number].reused_tokens for number in first if number in ended)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def finish(self, number: int, ended: Ended) -> AnswerFinish:
        """Why a reply ended, as the client is told.

        Raises:
            YoutuOnnxError, Problem: it ended before its time.
        """
        reader, constraint = self.planned[number].reader, self.planned[number].request.constraint
        if ended.error is not None:
            raise ended.error
        if reader.stopped:
            return "stop"
        if isinstance(constraint, GrammarConstraint) and constraint.failure is not None:
            raise Problem(
                400, f"the reply can't go on under the request's schema: {constraint.failure}", code="constraint_failed"
            )
        if ended.reason == "cancelled":
            raise problems.draining()
        if ended.reason == "stop" and reader.calls and not self.named_tool:
            return "tool_calls"
        return ended.reason


@dataclass(frozen=True)
class ReplyUpdate:
    """What one event meant for a client. ``finish`` and ``ended`` are there with a reply's last parts; ``progress`` comes alone,
    to requests that want it."""

    number: int
    parts: list[Part]
    finish: AnswerFinish | None = None
    ended: Ended | None = None
    progress: Queued | PromptProgress | None = None

    @property
    def progress_fields(self) -> Json:
        """``progress`` as members of a chunk; none where there is none."""
        match self.progress:
            case Queued(position):
                return {"queue": {"position": position}}
            case PromptProgress(total, cached, processed, seconds):
                spent = {"time_ms": round(1000 * seconds)}
                return {"prompt_progress": {"total": total, "cache": cached, "processed": processed} | spent}
        return {}


@dataclass(frozen=True)
class WholeReply:
    """All of one reply."""

    parts: list[Part]
    finish: AnswerFinish
    ended: Ended


async def updates(
    replies: Replies, submission: Submission, metrics: Metrics, timeout: float | None = None
) -> AsyncIterator[ReplyUpdate | None]:
    """What happens to the replies, until all have ended; None where nothing did for so many seconds.

    Raises:
        YoutuOnnxError, Problem: a reply ended before its time, or the reader fell too far behind.
    """
    begun = False
    while not submission.done:
        came = await submission.next(timeout)
        if submission.overrun:
            raise Problem(400, "the reader of the stream fell too far behind", code="reader_too_slow")
        if came is None:
            yield None
            continue
        number, event = came.number, came.event
        reader = replies.planned[number].reader
        if not begun and submission.first_token is not None:
            begun = True
            metrics.began(submission.first_token - submission.begun)
        if isinstance(event, Queued | PromptProgress):
            yield ReplyUpdate(number, [], progress=event)
        elif isinstance(event, Token):
            parts = reader.push(event)
            if reader.stopped:
                submission.cancel(number)
            if parts:
                yield ReplyUpdate(number, parts)
        else:
            metrics.ended(event)
            finish = replies.finish(number, event)
            yield ReplyUpdate(number, reader.finish(), finish, event)
