"""OpenAI's Responses: ``POST /v1/responses``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from pydantic import TypeAdapter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from youtu_onnx.serve.engine.request import Token
from youtu_onnx.serve.http import sse
from youtu_onnx.serve.http.answers import AnswerFinish
from youtu_onnx.serve.http.bodies.response import CreateResponse, FunctionTool, NamedFunctionTool, SchemaText
from youtu_onnx.serve.http.bodies.response_item import Item, MessageItem, Reference, messages
from youtu_onnx.serve.http.chat_completions import logprobs
from youtu_onnx.serve.http.conversation import AnswerForm, Conversation, FieldNames, Offered, plan
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.replies import Json, Replies, ReplyUpdate, WholeReply
from youtu_onnx.serve.http.response_store import Remembered, ResponseStore
from youtu_onnx.serve.http.response_writer import ResponseWriter
from youtu_onnx.serve.http.service import Service, now
from youtu_onnx.text.constraint import ANY_OBJECT

ITEM: TypeAdapter[Item] = TypeAdapter(Item)


@dataclass
class Making:
    """One response while it is made.

    Attributes:
        own: the items of the request.
        items: all that it goes on after, the request's own at the end.
        id, created: what it is called, and since when.
        numbers: of its events.
    """

    service: Service
    store: ResponseStore
    body: CreateResponse
    own: tuple[Item, ...]
    items: tuple[Item, ...]
    replies: Replies
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(24)}")
    created: int = field(default_factory=now)
    numbers: count[int] = field(default_factory=count)

    def writer(self) -> ResponseWriter:
        def found(tokens: Sequence[Token]) -> list[Json]:
            return logprobs(self.service, tokens)

        return ResponseWriter(None if self.body.logprobs is None else found)

    def response(self, status: str, output: Sequence[Json] = (), usage: Json | None = None, error: Json | None = None) -> Json:
        """As it stands."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": now() if status == "completed" else None,
            "status": status,
            "error": error,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "model": self.body.model or self.service.text.id,
            "output": list(output),
            "usage": usage,
            **_echo(self.body, self.service),
        }

    def end(self, writer: ResponseWriter, finish: AnswerFinish, usage: Json) -> Json:
        """The response as it ended, which is remembered if it is to be."""
        thought = sum(one.reader.thought for one in self.replies.planned)
        made = self.response("incomplete" if finish == "length" else "completed", writer.items, _usage(usage, thought))
        if self.body.store is not False:
            output = {item["id"]: ITEM.validate_python(item) for item in writer.items}
            given = [{"id": item.id or f"msg_{secrets.token_hex(16)}", **item.listed()} for item in self.own]
            self.store.put(Remembered(made, given, (*self.items, *output.values()), output))
        return made

    def numbered(self, events: Sequence[Json]) -> list[Json]:
        return [{**event, "sequence_number": next(self.numbers)} for event in events]

    def told(self, kind: str, response: Json) -> Json:
        return {"type": f"response.{kind}", "response": response}


async def create(service: Service, store: ResponseStore, body: CreateResponse, http: HttpRequest) -> Response:
    """POST /v1/responses"""
    service.models.check(body.model)
    before: tuple[Item, ...] = ()
    if body.previous_response_id is not None:
        previous = store.get(body.previous_response_id)
        if previous is None:
            raise _unknown(body.previous_response_id, "previous_response_id")
        before = previous.items
    own = _own(store, body)
    replies = await asyncio.to_thread(lambda: plan(service, conversation(body, (*before, *own))))
    making = Making(service, store, body, own, (*before, *own), replies)
    if body.stream:
        return _stream(making, http)

    def make(made: Sequence[WholeReply], usage: Json) -> Json:
        [whole] = made
        writer = making.writer()
        writer.push(whole.parts)
        writer.finish(complete=whole.finish != "length")
        return making.end(writer, whole.finish, usage)

    return await service.answer(http, replies, make)


def conversation(body: CreateResponse, items: Sequence[Item]) -> Conversation:
    """What a body asks for, after what was said before."""
    tools = [] if body.tool_choice == "none" else body.tools or []
    named = isinstance(body.tool_choice, NamedFunctionTool)
    return Conversation(
        messages(body.instructions, items),
        body,
        model=body.model,
        max_tokens=body.max_output_tokens,
        enable_thinking=body.enable_thinking,
        offered=Offered(tools, body.chosen, required=body.required, named=named, parallel=body.parallel_tool_calls is not False),
        form=_form(body),
        logprobs=body.logprobs,
        names=FieldNames("input", "text.format"),
    )


def _form(body: CreateResponse) -> AnswerForm | None:
    wanted = None if body.text is None else body.text.format
    if isinstance(wanted, SchemaText):
        return AnswerForm(wanted.schema_, bool(wanted.strict))
    return AnswerForm(ANY_OBJECT, strict=True) if wanted is not None and wanted.type == "json_object" else None


def _own(store: ResponseStore, body: CreateResponse) -> tuple[Item, ...]:
    if not isinstance(body.input, list):
        return (MessageItem(role="user", content=body.input),) if body.input else ()
    found: list[Item] = []
    for number, item in enumerate(body.input):
        if not isinstance(item, Reference):
            found.append(item)
            continue
        known = store.item(item.id)
        if known is None:
            raise _unknown(item.id, f"input.{number}.id")
        found.append(known)
    return tuple(found)


def _unknown(id_: str, param: str) -> Problem:
    code = "previous_response_not_found" if param == "previous_response_id" else "item_not_found"
    what = f"{id_[:100]!r} isn't remembered here (any more, or by this process); send what was said as input"
    return Problem(400, what, param=param, code=code)


def _stream(making: Making, http: HttpRequest) -> Response:
    writer = making.writer()
    finish: AnswerFinish = "stop"

    def update(one: ReplyUpdate) -> list[Json]:
        nonlocal finish
        events = writer.push(one.parts)
        if one.finish is not None:
            finish = one.finish
            events += writer.finish(complete=finish != "length")
        return making.numbered(events)

    def end(usage: Json) -> list[Json]:
        made = making.end(writer, finish, usage)
        return making.numbered([making.told(made["status"], made)])

    def failed(problem: Problem) -> list[Json]:
        error = {"code": problem.code or "server_error", "message": problem.message}
        response = making.response("failed", writer.items, error=error)
        return making.numbered([{"type": "error", **error, "param": problem.param}, making.told("failed", response)])

    begin = making.response("in_progress")
    return making.service.stream(
        http,
        making.replies,
        begin=making.numbered([making.told("created", begin), making.told("in_progress", begin)]),
        update=update,
        end=end,
        failed=failed,
        framing=sse.RESPONSES,
    )


def _echo(body: CreateResponse, service: Service) -> Json:
    """What a response says of its request."""
    defaults = service.text.sampling
    form = None if body.text is None else body.text.format
    choice = body.tool_choice
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "previous_response_id": body.previous_response_id,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "tools": [_tool(tool) for tool in body.tools or ()],
        "tool_choice": "auto" if choice is None else choice if isinstance(choice, str) else choice.model_dump(),
        "temperature": defaults.effective_temperature if body.temperature is None else body.temperature,
        "top_p": defaults.top_p if body.top_p is None else body.top_p,
        "top_logprobs": body.top_logprobs or 0,
        "text": {"format": {"type": "text"} if form is None else form.model_dump(by_alias=True, exclude_none=True)},
        "reasoning": {"effort": None if body.reasoning is None else body.reasoning.effort, "summary": None},
        "metadata": body.metadata or {},
        "store": body.store is not False,
        "truncation": "disabled",
        "background": False,
        "user": body.user,
    }


def _tool(tool: FunctionTool) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": bool(tool.strict),
    }


def _usage(usage: Json, thought: int) -> Json:
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"], "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": usage["total_tokens"],
    }
