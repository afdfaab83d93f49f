"""The plain ``POST /chat``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from youtu_onnx.serve.engine.request import Request
from youtu_onnx.serve.http.bodies.own import Chat
from youtu_onnx.serve.http.prompting import chat_prompt, sampling
from youtu_onnx.serve.http.replies import Json, PlannedReply, Replies, ReplyUpdate, WholeReply
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.text.reply import Content, ReplyReader, Thought
from youtu_onnx.serve.text.tool_calls import Called


async def answer_chat(service: Service, body: Chat, http: HttpRequest) -> Response:
    """POST /chat"""
    replies = await asyncio.to_thread(_plan, service, body)
    if body.stream:
        return service.stream(http, replies, update=_events, end=lambda usage: [{"usage": usage}])
    return await service.answer(http, replies, _answer)


def _plan(service: Service, body: Chat) -> Replies:
    adapter = service.models.active(body.model)
    messages = [message.for_template() for message in body.messages or ()]
    if body.prompt is not None:
        messages = [{"role": "user", "content": body.prompt}]
    prompt = chat_prompt(service, messages, body.enable_thinking)
    service.check_prompt(prompt.token_ids, "prompt" if body.messages is None else "messages")
    request = Request(
        tuple(prompt.token_ids),
        body.max_tokens or service.text.max_tokens,
        sampling(service, body),
        service.text.eos_ids,
        adapter=adapter,
    )
    reader = ReplyReader(service.text.tokenizer, stops=body.stops, thinking=prompt.thinking)
    return Replies((PlannedReply(request, reader),))


def _answer(replies: Sequence[WholeReply], usage: Json) -> Json:
    [whole] = replies
    thinking = "".join(part.text for part in whole.parts if isinstance(part, Thought))
    answer = "".join(part.text for part in whole.parts if isinstance(part, Content))
    return {"response": answer, **({"thinking": thinking} if thinking else {}), "finish_reason": whole.finish, "usage": usage}


def _events(update: ReplyUpdate) -> list[Json]:
    events: list[Json] = [
        {"thinking" if isinstance(part, Thought) else "response": part.text}
        for part in update.parts
        if not isinstance(part, Called)
    ]
    return events if update.finish is None else [*events, {"finish_reason": update.finish}]
