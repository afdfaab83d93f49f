"""Plain text that the model goes on with: ``POST /v1/completions``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from youtu_onnx.serve.engine.request import Request, Token
from youtu_onnx.serve.http.answers import AnswerFinish
from youtu_onnx.serve.http.bodies.text_completion import Prompt, TextCompletion
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.prompting import sampling
from youtu_onnx.serve.http.replies import Json, PlannedReply, Replies, ReplyUpdate, WholeReply
from youtu_onnx.serve.http.service import Service, now
from youtu_onnx.serve.text.reply import Content, Part, ReplyReader

DEFAULT_LENGTH = 16
"""Tokens, where a request says nothing: OpenAI's number, whatever the model's own default."""


async def complete_text(service: Service, body: TextCompletion, http: HttpRequest) -> Response:
    """POST /v1/completions"""
    service.models.check(body.model)
    service.check_count((body.n or 1) * len(body.prompts))
    replies = await asyncio.to_thread(_plan, service, body)
    choices = [_Choice(service, body, number) for number in range(len(replies.planned))]
    head: Json = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": now(),
        "model": body.model or service.text.id,
        "system_fingerprint": service.text.fingerprint,
    }

    def make(made: Sequence[WholeReply], usage: Json) -> Json:
        written = [choice.of(whole.parts, whole.finish) for choice, whole in zip(choices, made, strict=True)]
        return {**head, "usage": usage, "choices": written}

    if not body.stream:
        return await service.answer(http, replies, make)
    if body.with_usage:
        head["usage"] = None

    def chunks(update: ReplyUpdate) -> list[Json]:
        if update.progress is not None:
            return [{**head, "choices": [], **update.progress_fields}]
        return [{**head, "choices": [choices[update.number].of(update.parts, update.finish)]}]

    return service.stream(
        http, replies, update=chunks, end=lambda usage: [{**head, "choices": [], "usage": usage}] if body.with_usage else []
    )


def _plan(service: Service, body: TextCompletion) -> Replies:
    text, copies, adapter = service.text, body.n or 1, service.models.active(body.model)
    planned: list[PlannedReply] = []
    for prompt in body.prompts:
        ids = prompt_ids(service, prompt)
        for number in range(copies):
            request = Request(
                tuple(ids),
                body.max_tokens or DEFAULT_LENGTH,
                sampling(service, body, number),
                text.eos_ids,
                logprobs=body.logprobs,
                adapter=adapter,
                progress=bool(body.return_progress) and not planned,
            )
            planned.append(PlannedReply(request, ReplyReader(text.tokenizer, stops=body.stops)))
    return Replies(tuple(planned), copies)


def prompt_ids(service: Service, prompt: Prompt) -> list[int]:
    """Of a text that is continued, or token ids.

    Raises:
        Problem: it is empty, too long, or has ids that aren't there.
    """
    # a person's text: nothing in it is a control token
    ids = service.text.tokenizer.encode(prompt, special=False, frame=True) if isinstance(prompt, str) else prompt
    if not ids:
        raise Problem(400, "the prompt is empty", param="prompt", code="invalid_value")
    if max(ids) >= service.engine.vocab_size:
        raise Problem(
            400,
            f"token {max(ids)} is outside the vocabulary of {service.engine.vocab_size}",
            param="prompt",
            code="invalid_value",
        )
    service.check_prompt(ids, "prompt")
    return ids


class _Choice:
    """One completion on its way out. Counts characters, since logprobs say where in the text their tokens begin."""

    def __init__(self, service: Service, body: TextCompletion, index: int) -> None:
        self._service, self._body, self._index = service, body, index
        self._offset = 0

    def of(self, parts: Sequence[Part], finish: AnswerFinish | None) -> Json:
        content = [part for part in parts if isinstance(part, Content)]
        tokens = [token for part in content for token in part.tokens]
        return {
            "index": self._index,
            "text": "".join(part.text for part in content),
            "finish_reason": finish,
            "logprobs": None if self._body.logprobs is None else self._logprobs(tokens),
        }

    def _logprobs(self, tokens: Sequence[Token]) -> Json:
        made: Json = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for token in tokens:
            text = self._name(token.id)
            made["tokens"].append(text)
            made["token_logprobs"].append(token.logprob)
            made["top_logprobs"].append({self._name(id_): logprob for id_, logprob in token.top})
            made["text_offset"].append(self._offset)
            self._offset += len(text)
        return made

    def _name(self, id_: int) -> str:
        return self._service.grammars.token_bytes(id_).decode("utf-8", "replace")
