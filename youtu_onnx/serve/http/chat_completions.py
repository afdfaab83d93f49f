"""Conversations as OpenAI has them: ``POST /v1/chat/completions``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.engine.request import Request, Token
from youtu_onnx.serve.http.answers import AnswerFinish
from youtu_onnx.serve.http.bodies.chat_completion import ChatCompletion
from youtu_onnx.serve.http.bodies.tool import PlainFormat, SchemaFormat
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.prompting import chat_prompt, sampling
from youtu_onnx.serve.http.replies import Json, PlannedReply, Replies, ReplyUpdate, WholeReply
from youtu_onnx.serve.http.service import Service, now
from youtu_onnx.serve.text.constraint import ANY_OBJECT, Form, Function, GrammarConstraint, Thinking
from youtu_onnx.serve.text.reply import Content, Part, ReplyReader, Thought
from youtu_onnx.serve.text.tool_calls import Called


async def complete_chat(service: Service, body: ChatCompletion, http: HttpRequest) -> Response:
    """POST /v1/chat/completions"""
    service.models.check(body.model)
    service.check_count(body.n or 1)
    replies = await asyncio.to_thread(_plan, service, body)
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


def _plan(service: Service, body: ChatCompletion) -> Replies:
    """Not on the event loop: long prompts and large schemas take their time."""
    text, tools, adapter = service.text, body.offered_tools, service.models.active(body.model)
    if tools and not text.calls_tools:
        raise Problem(400, f"{text.id} has no tokens for tool calls", param="tools", code="unsupported_field")
    prompt = chat_prompt(
        service,
        [message.for_template() for message in body.messages],
        body.enable_thinking,
        [tool.for_template() for tool in tools],
    )
    service.check_prompt(prompt.token_ids, "messages")
    # where thinking was switched off, the prompt ends after an empty block of it
    thinking: Thinking = "open" if prompt.thinking else "none" if body.enable_thinking is False else "possible"
    constraint = _constraint(service, body, thinking)
    copies = body.n or 1
    planned = []
    for number in range(copies):
        request = Request(
            tuple(prompt.token_ids),
            body.length or text.max_tokens,
            sampling(service, body, number),
            text.eos_ids,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            constraint=constraint and (constraint.copy() if number else constraint),
            adapter=adapter,
            progress=bool(body.return_progress) and number == 0,
        )
        reader = ReplyReader(text.tokenizer, stops=body.stops, thinking=prompt.thinking, tools=bool(tools))
        planned.append(PlannedReply(request, reader))
    return Replies(tuple(planned), copies, named_tool=body.named_tool)


def _constraint(service: Service, body: ChatCompletion, thinking: Thinking) -> GrammarConstraint | None:
    """What the answer must be; None where it is free."""
    tools = body.offered_tools
    with _refusing("response_format"):
        form = _form(service, body)
        if not tools:
            return None if form is None else service.grammars.answer(form, thinking=thinking)
    functions = [
        Function(tool.function.name, tool.function.parameters, bool(tool.function.strict))
        for tool in tools
        if not body.chosen_tools or tool.function.name in body.chosen_tools
    ]
    with _refusing("tools"):
        return service.grammars.calls(
            functions,
            required=body.forced_tools,
            thinking=thinking,
            parallel=not body.named_tool and body.parallel_tool_calls is not False,
            form=form,
        )


def _form(service: Service, body: ChatCompletion) -> Form | None:
    match body.response_format:
        case SchemaFormat(json_schema=named):
            schema = ANY_OBJECT if named.schema_ is None else named.schema_
            return service.grammars.form(schema, strict=bool(named.strict))
        case PlainFormat(type="json_object"):
            return service.grammars.form(ANY_OBJECT, strict=True)
    return None


@contextmanager
def _refusing(param: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise Problem(400, str(error.message), param=param, code="invalid_schema") from error


def _choice(service: Service, body: ChatCompletion, number: int, whole: WholeReply) -> Json:
    tokens = [token for part in whole.parts if isinstance(part, Content) for token in part.tokens]
    return {
        "index": number,
        "message": _message(whole.parts),
        "finish_reason": whole.finish,
        "logprobs": _logprobs(service, tokens) if body.logprobs else None,
    }


def _message(parts: Sequence[Part]) -> Json:
    content = "".join(part.text for part in parts if isinstance(part, Content))
    thinking = "".join(part.text for part in parts if isinstance(part, Thought))
    calls: list[Json] = []
    for part in parts:
        if isinstance(part, Called):
            if part.name is not None:
                calls.append({"id": _call_id(), "type": "function", "function": {"name": part.name, "arguments": ""}})
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
            choice["logprobs"] = _logprobs(service, tokens)
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
                    {"index": index, "id": _call_id(), "type": "function", "function": {"name": name, "arguments": arguments}}
                ]
            }


def _call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def _logprobs(service: Service, tokens: Sequence[Token]) -> Json:
    def entry(id_: int, logprob: float | None) -> Json:
        raw = service.grammars.token_bytes(id_)
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}

    content = [{**entry(token.id, token.logprob), "top_logprobs": [entry(*one) for one in token.top]} for token in tokens]
    return {"content": content, "refusal": None}
