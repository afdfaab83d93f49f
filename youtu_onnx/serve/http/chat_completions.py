"""Conversations as OpenAI has them: ``POST /v1/chat/completions``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from youtu_onnx.serve.engine.request import Token
from youtu_onnx.serve.http.answers import AnswerFinish
from youtu_onnx.serve.http.bodies.chat_completion import ChatCompletion
from youtu_onnx.serve.http.bodies.tool import PlainFormat, SchemaFormat
from youtu_onnx.serve.http.conversation import AnswerForm, Conversation, Offered, plan
from youtu_onnx.serve.http.replies import Json, Replies, ReplyUpdate, WholeReply
from youtu_onnx.serve.http.service import Service, now
from youtu_onnx.serve.text.reply import Content, Part, Thought
from youtu_onnx.serve.text.tool_calls import Called
from youtu_onnx.text.constraint import ANY_OBJECT


async def complete_chat(service: Service, body: ChatCompletion, http: HttpRequest) -> Response:
    """POST /v1/chat/completions"""
    service.models.check(body.model)
    service.check_count(body.n or 1)
    replies = await asyncio.to_thread(lambda: plan(service, conversation(body)))
    head: Json = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "created": now(),
        "model": body.model or service.text.id,
        "system_fingerprint": service.text.fingerprint,
    }
    if body.stream:
        return _stream(service, body, http, replies, head)

    def make(made: Sequence[WholeReply], usage: Json) -> Json:
        choices = [_choice(service, body, number, whole) for number, whole in enumerate(made)]
        return {**head, "object": "chat.completion", "usage": usage, "choices": choices}

    return await service.answer(http, replies, make)


def conversation(body: ChatCompletion) -> Conversation:
    """What a body asks for."""
    messages = [message.for_template() for message in body.messages]
    begun = messages.pop() if body.continue_final_message else None
    return Conversation(
        messages,
        body,
        begun=begun,
        model=body.model,
        max_tokens=body.length,
        enable_thinking=body.enable_thinking,
        stops=body.stops,
        offered=Offered(
            [tool.function for tool in body.offered_tools],
            frozenset(body.chosen_tools),
            required=body.forced_tools,
            named=body.named_tool,
            parallel=body.parallel_tool_calls is not False,
        ),
        form=_form(body),
        copies=body.n or 1,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        progress=bool(body.return_progress),
    )


def _form(body: ChatCompletion) -> AnswerForm | None:
    match body.response_format:
        case SchemaFormat(json_schema=named):
            return AnswerForm(ANY_OBJECT if named.schema_ is None else named.schema_, bool(named.strict))
        case PlainFormat(type="json_object"):
            return AnswerForm(ANY_OBJECT, strict=True)
    return None


def _choice(service: Service, body: ChatCompletion, number: int, whole: WholeReply) -> Json:
    tokens = [token for part in whole.parts if isinstance(part, Content) for token in part.tokens]
    return {
        "index": number,
        "message": _message(whole.parts),
        "finish_reason": whole.finish,
        "logprobs": {"content": logprobs(service, tokens), "refusal": None} if body.logprobs else None,
    }


def _message(parts: Sequence[Part]) -> Json:
    content = "".join(part.text for part in parts if isinstance(part, Content))
    thinking = "".join(part.text for part in parts if isinstance(part, Thought))
    calls: list[Json] = []
    for part in parts:
        if isinstance(part, Called):
            if part.name is not None:
                calls.append({"id": call_id(), "type": "function", "function": {"name": part.name, "arguments": ""}})
            calls[-1]["function"]["arguments"] += part.arguments
    message: Json = {"role": "assistant", "content": None if calls and not content else content, "refusal": None}
    if thinking:
        message["reasoning_content"] = thinking
    if calls:
        message["tool_calls"] = calls
    return message


def _stream(service: Service, body: ChatCompletion, http: HttpRequest, replies: Replies, head: Json) -> Response:
    head = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if body.with_usage else {})

    def chunk(number: int, delta: Json, finish: AnswerFinish | None = None, tokens: Sequence[Token] = ()) -> Json:
        choice: Json = {"index": number, "delta": delta, "finish_reason": finish, "logprobs": None}
        if body.logprobs and tokens:
            choice["logprobs"] = {"content": logprobs(service, tokens), "refusal": None}
        return {**head, "choices": [choice]}

    def chunks(update: ReplyUpdate) -> list[Json]:
        if update.progress is not None:
            return [{**head, "choices": [], **update.progress_fields}]
        made = [
            chunk(update.number, _delta(part), tokens=part.tokens if isinstance(part, Content) else ()) for part in update.parts
        ]
        return made if update.finish is None else [*made, chunk(update.number, {}, update.finish)]

    return service.stream(
        http,
        replies,
        begin=[chunk(number, {"role": "assistant", "content": ""}) for number in range(len(replies.planned))],
        update=chunks,
        end=lambda usage: [{**head, "choices": [], "usage": usage}] if body.with_usage else [],
    )


def _delta(part: Part) -> Json:
    match part:
        case Thought(text):
            return {"reasoning_content": text}
        case Content(text):
            return {"content": text}
        case Called(index, None, arguments):
            return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
        case Called(index, name, arguments):
            return {
                "tool_calls": [
                    {"index": index, "id": call_id(), "type": "function", "function": {"name": name, "arguments": arguments}}
                ]
            }


def call_id() -> str:
    """For a call that the model made."""
    return f"call_{secrets.token_hex(12)}"


def logprobs(service: Service, tokens: Sequence[Token]) -> list[Json]:
    """Of each token its text, its logarithm of probability and its bytes, and those of the likeliest."""

    def entry(id_: int, logprob: float | None) -> Json:
        raw = service.grammars.token_bytes(id_)
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}

    return [{**entry(token.id, token.logprob), "top_logprobs": [entry(*one) for one in token.top]} for token in tokens]
