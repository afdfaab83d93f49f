"""Replies as Ollama's API has them: ``POST /api/chat`` and ``POST /api/generate``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from youtu_onnx.serve.engine.request import Ended, Request, Token
from youtu_onnx.serve.http import sse
from youtu_onnx.serve.http.answers import AnswerFinish
from youtu_onnx.serve.http.bodies.ollama import OllamaChat, OllamaFields, OllamaGenerate
from youtu_onnx.serve.http.chat_completions import logprobs
from youtu_onnx.serve.http.conversation import AnswerForm, Conversation, FieldNames, Offered, plan
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.prompting import sampling
from youtu_onnx.serve.http.replies import Json, PlannedReply, Replies, ReplyUpdate, WholeReply
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.http.text_completions import prompt_ids
from youtu_onnx.serve.text.reply import Content, Part, ReplyReader, Thought
from youtu_onnx.serve.text.tool_calls import Called
from youtu_onnx.text.constraint import ANY_OBJECT


@dataclass
class Calls:
    """Tool calls, which are told whole here."""

    _open: tuple[str, str] | None = None
    _whole: list[Json] = field(default_factory=list)

    def push(self, part: Called) -> None:
        if part.name is not None:
            self._close()
            self._open = part.name, part.arguments
        elif self._open is not None:
            self._open = self._open[0], self._open[1] + part.arguments

    def taken(self, *, all_: bool) -> list[Json]:
        """Those that are whole by now; ``all_``: the last one is, too. One that was cut off isn't told."""
        if all_:
            self._close()
        whole, self._whole = self._whole, []
        return whole

    def _close(self) -> None:
        if self._open is None:
            return
        (name, text), self._open = self._open, None
        try:
            arguments = json.loads(text or "{}")
        except (ValueError, RecursionError):
            return
        if isinstance(arguments, dict):
            self._whole.append({"function": {"name": name, "arguments": arguments}})


Said = Callable[[str, str, list[Json]], Json]
"""Text, thinking and calls as members of a line."""


async def chat(service: Service, model: str, body: OllamaChat, http: HttpRequest) -> Response:
    """POST /api/chat; ``model``: as it is called here."""
    if not body.messages:
        return _loaded(body, {"message": {"role": "assistant", "content": ""}})

    def conversation() -> Conversation:
        messages = [message.for_template(number) for number, message in enumerate(body.messages or ())]
        return _conversation(service, body, model, messages, Offered([tool.function for tool in body.tools or ()]))

    def said(text: str, thinking: str, calls: list[Json]) -> Json:
        message: Json = {"role": "assistant", "content": text}
        message |= ({"thinking": thinking} if thinking else {}) | ({"tool_calls": calls} if calls else {})
        return {"message": message}

    replies = await asyncio.to_thread(lambda: plan(service, conversation()))
    return await _answer(service, body, http, replies, said)


async def generate(service: Service, model: str, body: OllamaGenerate, http: HttpRequest) -> Response:
    """POST /api/generate; ``model``: as it is called here."""
    if not body.prompt:
        return _loaded(body, {"response": ""})
    messages = [{"role": "system", "content": body.system}] if body.system else []
    messages.append({"role": "user", "content": body.prompt})

    def said(text: str, thinking: str, calls: list[Json]) -> Json:
        return {"response": text} | ({"thinking": thinking} if thinking else {})

    if body.raw or service.text.template is None:
        replies = await asyncio.to_thread(_continued, service, body, model)
    else:
        replies = await asyncio.to_thread(lambda: plan(service, _conversation(service, body, model, messages)))
    return await _answer(service, body, http, replies, said)


def _conversation(
    service: Service, body: OllamaFields, model: str, messages: Sequence[Json], offered: Offered | None = None
) -> Conversation:
    thinking = None if body.think is None else body.think is not False
    if thinking is False and not service.text.thinks:
        thinking = None  # as it does anyway
    form = body.format or None
    return Conversation(
        messages,
        body.chosen.sampling,
        model=model,
        max_tokens=_length(service, body),
        enable_thinking=thinking,
        stops=body.stops,
        offered=offered or Offered(),
        form=None if form is None else AnswerForm(ANY_OBJECT if form == "json" else form, strict=form == "json"),
        logprobs=body.logprobs_wanted,
        names=FieldNames(form="format"),
    )


def _continued(service: Service, body: OllamaGenerate, model: str) -> Replies:
    """A prompt that is taken as it is."""
    if body.format or body.system:
        param = "format" if body.format else "system"
        raise Problem(400, f"{param} has no use where a prompt is taken as it is", param=param, code="unsupported_field")
    request = Request(
        tuple(prompt_ids(service, body.prompt or "")),
        _length(service, body) or service.text.max_tokens,
        sampling(service, body.chosen.sampling),
        service.text.eos_ids,
        logprobs=body.logprobs_wanted,
        adapter=service.models.active(model),
    )
    return Replies((PlannedReply(request, ReplyReader(service.text.tokenizer, stops=body.stops)),))


def _length(service: Service, body: OllamaFields) -> int | None:
    asked = body.chosen.num_predict
    return service.engine.context_length if asked is not None and asked < 1 else asked


async def _answer(service: Service, body: OllamaFields, http: HttpRequest, replies: Replies, said: Said) -> Response:
    calls, prompt = Calls(), len(replies.requests[0].prompt)

    def line(parts: Sequence[Part], finish: AnswerFinish | None = None, ended: Ended | None = None) -> Json:
        for part in parts:
            if isinstance(part, Called):
                calls.push(part)
        text = "".join(part.text for part in parts if isinstance(part, Content))
        thinking = "".join(part.text for part in parts if isinstance(part, Thought))
        tokens = [token for part in parts if isinstance(part, Content) for token in part.tokens]
        made = {"model": body.model, "created_at": _now(), **said(text, thinking, calls.taken(all_=finish is not None))}
        made |= _logprobs(service, body, tokens)
        if finish is None or ended is None:
            return {**made, "done": False}
        return {**made, "done": True, "done_reason": "length" if finish == "length" else "stop", **_counts(ended, prompt)}

    def update(one: ReplyUpdate) -> list[Json]:
        made = line(one.parts, one.finish, one.ended)
        return [made] if one.finish is not None or made.keys() & {"logprobs"} or _says(made) else []

    def make(made: Sequence[WholeReply], usage: Json) -> Json:
        [whole] = made
        return line(whole.parts, whole.finish, whole.ended)

    if body.stream is False:
        return await service.answer(http, replies, make)
    return service.stream(
        http,
        replies,
        update=update,
        end=lambda usage: [],
        failed=lambda problem: [{"error": problem.message}],
        framing=sse.LINES,
    )


def _says(line: Json) -> bool:
    """Whether it has more in it than the beginning of a call."""
    message = line.get("message", line)
    return any(message.get(name) for name in ("content", "response", "thinking", "tool_calls"))


def _logprobs(service: Service, body: OllamaFields, tokens: Sequence[Token]) -> Json:
    return {"logprobs": logprobs(service, tokens)} if body.logprobs and tokens else {}


def _counts(ended: Ended, prompt: int) -> Json:
    """Times in nanoseconds."""
    waiting, reading, writing = (round(1e9 * one) for one in (ended.queue_seconds, ended.prefill_seconds, ended.decode_seconds))
    return {
        "total_duration": waiting + reading + writing,
        "load_duration": 0,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": reading,
        "eval_count": ended.completion_tokens,
        "eval_duration": writing,
    }


def _loaded(body: OllamaFields, said: Json) -> Response:
    """The answer to those who say nothing, so that the model is there when they do."""
    made = {"model": body.model, "created_at": _now(), **said, "done": True, "done_reason": "load"}
    return JSONResponse(made)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
