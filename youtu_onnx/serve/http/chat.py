"""Conversations: ``POST /v1/chat/completions`` as OpenAI has it, and the plain ``POST /chat``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.engine.engine import Request, Token
from youtu_onnx.serve.http import requests
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.service import Finish, Job, Service, Step, now
from youtu_onnx.serve.text.constraint import Function, GrammarConstraint, Thinking
from youtu_onnx.serve.text.reply import Content, Part, Reply, Thought
from youtu_onnx.serve.text.tool_calls import Called
from youtu_onnx.text import Prompt


async def complete(service: Service, body: requests.ChatCompletion, http: HttpRequest) -> Response:
    """POST /v1/chat/completions"""
    service.check_model(body.model)
    service.check_count(body.n or 1)
    job = await asyncio.to_thread(_job, service, body)
    head = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "created": now(),
        "model": service.text.id,
        "system_fingerprint": service.text.fingerprint,
    }
    return (
        _stream(service, body, job, head)
        if body.stream
        else await service.answer(
            http,
            job,
            lambda parts, reasons, usage: {
                **head,
                "object": "chat.completion",
                "usage": usage,
                "choices": [
                    {
                        "index": number,
                        "message": _message(made),
                        "finish_reason": reason,
                        "logprobs": _logprobs(service, made) if body.logprobs else None,
                    }
                    for number, (made, reason) in enumerate(zip(parts, reasons, strict=True))
                ],
            },
        )
    )


async def chat(service: Service, body: requests.Chat, http: HttpRequest) -> Response:
    """POST /chat"""
    job = await asyncio.to_thread(_plain_job, service, body)
    if body.stream:
        return service.stream(job, _plain_events, [], lambda usage: [{"usage": usage}])

    def make(parts: list[list[Part]], reasons: list[Finish], usage: dict[str, Any]) -> dict[str, Any]:
        thinking = "".join(part.text for part in parts[0] if isinstance(part, Thought))
        answer = "".join(part.text for part in parts[0] if isinstance(part, Content))
        return {"response": answer, **({"thinking": thinking} if thinking else {}), "finish_reason": reasons[0], "usage": usage}

    return await service.answer(http, job, make)


def _plain_job(service: Service, body: requests.Chat) -> Job:
    messages = [message.for_template() for message in body.messages or ()]
    if body.prompt is not None:
        messages = [{"role": "user", "content": body.prompt}]
    prompt = _prompt(service, messages, body.enable_thinking, [])
    service.check_prompt(prompt.token_ids, "prompt" if body.messages is None else "messages")
    request = Request(
        tuple(prompt.token_ids), body.max_tokens or service.text.max_tokens, sampling(service, body), service.text.eos_ids
    )
    return Job([request], [Reply(service.text.tokenizer, stops=body.stops, thinking=prompt.thinking)])


def _plain_events(step: Step) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [
        {"thinking" if isinstance(part, Thought) else "response": part.text}
        for part in step.parts
        if not isinstance(part, Called)
    ]
    return events if step.finish is None else [*events, {"finish_reason": step.finish}]


def _job(service: Service, body: requests.ChatCompletion) -> Job:
    """Not on the event loop: long prompts and large schemas take their time."""
    text, tools = service.text, body.offered_tools
    if tools and not text.calls_tools:
        raise Problem(400, f"{text.id} has no tokens for tool calls", param="tools", code="unsupported_field")
    prompt = _prompt(
        service,
        [message.for_template() for message in body.messages],
        body.enable_thinking,
        [tool.for_template() for tool in tools],
    )
    service.check_prompt(prompt.token_ids, "messages")
    # where thinking was switched off, the prompt ends after an empty block of it
    thinking: Thinking = "open" if prompt.thinking else "none" if body.enable_thinking is False else "possible"
    constraint = _constraint(service, body, thinking)
    count = body.n or 1
    job = Job([], [], count, named_tool=isinstance(body.tool_choice, requests.NamedTool))
    for number in range(count):
        job.requests.append(
            Request(
                tuple(prompt.token_ids),
                body.length or text.max_tokens,
                sampling(service, body, number),
                text.eos_ids,
                logprobs=(body.top_logprobs or 0) if body.logprobs else None,
                constraint=constraint and (constraint.copy() if number else constraint),
            )
        )
        job.replies.append(Reply(text.tokenizer, stops=body.stops, thinking=prompt.thinking, tools=bool(tools)))
    return job


def _prompt(
    service: Service, messages: list[dict[str, Any]], enable_thinking: bool | None, tools: list[dict[str, Any]]
) -> Prompt:
    text = service.text
    if text.template is None:
        raise Problem(
            400, f"{text.id} has no chat template (a base model's has none); use /v1/completions", code="no_chat_template"
        )
    if enable_thinking is not None and not text.thinking_switch:
        raise Problem(400, f"{text.id} can't be told to think or not to", param="enable_thinking", code="unsupported_field")
    try:
        return text.template.prompt(messages, enable_thinking=enable_thinking, tools=tools or None)
    except UsageError as error:
        raise Problem(400, str(error.message), param="messages", code="invalid_value") from error


def sampling(service: Service, body: requests.SamplingFields, number: int = 0) -> Any:
    try:
        return body.sampling(service.text.sampling, service.engine.vocab_size, number)
    except ValueError as error:
        raise Problem(400, str(error), param="logit_bias", code="invalid_value") from error


def _constraint(service: Service, body: requests.ChatCompletion, thinking: Thinking) -> GrammarConstraint | None:
    """What the answer must be; None where it is free."""
    wanted, tools = body.response_format, body.offered_tools
    try:
        if wanted is not None and wanted.type != "text":
            if tools:
                raise Problem(
                    400,
                    'response_format can\'t go with tools that may be called; send tool_choice: "none"',
                    param="response_format",
                    code="unsupported_field",
                )
            if isinstance(wanted, requests.PlainFormat):
                return service.grammars.json({"type": "object"}, thinking=thinking)
            schema = wanted.json_schema
            return service.grammars.json(schema.schema_, thinking=thinking, strict=schema.strict is not False)
        if tools:
            named = body.tool_choice.function.name if isinstance(body.tool_choice, requests.NamedTool) else None
            functions = [
                Function(tool.function.name, tool.function.parameters, bool(tool.function.strict))
                for tool in tools
                if named in (None, tool.function.name)
            ]
            return service.grammars.calls(
                functions,
                required=body.forced_tools,
                thinking=thinking,
                parallel=named is None and body.parallel_tool_calls is not False,
            )
    except UsageError as error:
        raise Problem(400, str(error.message), param="tools" if tools else "response_format", code="invalid_schema") from error
    return None


def _message(parts: Sequence[Part]) -> dict[str, Any]:
    content = "".join(part.text for part in parts if isinstance(part, Content))
    thinking = "".join(part.text for part in parts if isinstance(part, Thought))
    calls: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Called):
            if part.name is not None:
                calls.append({"id": _call_id(), "type": "function", "function": {"name": part.name, "arguments": ""}})
            calls[-1]["function"]["arguments"] += part.arguments
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and not content else content, "refusal": None}
    if thinking:
        message["reasoning_content"] = thinking
    if calls:
        message["tool_calls"] = calls
    return message


def _stream(service: Service, body: requests.ChatCompletion, job: Job, head: dict[str, Any]) -> Response:
    head = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if body.with_usage else {})

    def chunk(number: int, delta: dict[str, Any], finish: Finish | None = None, tokens: Sequence[Token] = ()) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": number, "delta": delta, "finish_reason": finish, "logprobs": None}
        if body.logprobs and tokens:
            choice["logprobs"] = {"content": _entries(service, tokens), "refusal": None}
        return {**head, "choices": [choice]}

    def write(step: Step) -> list[dict[str, Any]]:
        chunks = [
            chunk(step.number, _delta(part), tokens=part.tokens if isinstance(part, Content) else ()) for part in step.parts
        ]
        return chunks if step.finish is None else [*chunks, chunk(step.number, {}, step.finish)]

    begin = [chunk(number, {"role": "assistant", "content": ""}) for number in range(len(job.replies))]
    return service.stream(job, write, begin, lambda usage: [{**head, "choices": [], "usage": usage}] if body.with_usage else [])


def _delta(part: Part) -> dict[str, Any]:
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


def _logprobs(service: Service, parts: Sequence[Part]) -> dict[str, Any]:
    return {
        "content": _entries(service, [token for part in parts if isinstance(part, Content) for token in part.tokens]),
        "refusal": None,
    }


def _entries(service: Service, tokens: Sequence[Token]) -> list[dict[str, Any]]:
    def entry(id_: int, logprob: float | None) -> dict[str, Any]:
        raw = service.grammars.token_bytes(id_)
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}

    return [{**entry(token.id, token.logprob), "top_logprobs": [entry(*one) for one in token.top]} for token in tokens]
