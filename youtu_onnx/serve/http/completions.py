"""Plain text that the model goes on with: ``POST /v1/completions``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from youtu_onnx.serve.engine.engine import Request, Token
from youtu_onnx.serve.http import requests
from youtu_onnx.serve.http.chat import sampling
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.service import Finish, Job, Service, Step, now
from youtu_onnx.serve.text.reply import Content, Part, Reply

DEFAULT_LENGTH = 16
"""Tokens, where a request says nothing: OpenAI's number."""


async def complete(service: Service, body: requests.TextCompletion, http: HttpRequest) -> Response:
    """POST /v1/completions"""
    service.check_model(body.model)
    service.check_count((body.n or 1) * len(body.prompts))
    job = await asyncio.to_thread(_job, service, body)
    head = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": now(),
        "model": service.text.id,
        "system_fingerprint": service.text.fingerprint,
    }

    def make(parts: list[list[Part]], reasons: list[Finish], usage: dict[str, Any]) -> dict[str, Any]:
        choices = [_Choice(service, body, number) for number in range(len(parts))]
        return {
            **head,
            "usage": usage,
            "choices": [choice.of(made, reason) for choice, made, reason in zip(choices, parts, reasons, strict=True)],
        }

    if not body.stream:
        return await service.answer(http, job, make)
    if body.with_usage:
        head["usage"] = None
    choices = [_Choice(service, body, number) for number in range(len(job.replies))]

    def write(step: Step) -> list[dict[str, Any]]:
        return [{**head, "choices": [choices[step.number].of(step.parts, step.finish)]}]

    return service.stream(job, write, [], lambda usage: [{**head, "choices": [], "usage": usage}] if body.with_usage else [])


def _job(service: Service, body: requests.TextCompletion) -> Job:
    text, job = service.text, Job([], [], body.n or 1)
    for prompt in body.prompts:
        # a person's text: nothing in it is a control token
        ids = text.tokenizer.encode(prompt, special=False, frame=True) if isinstance(prompt, str) else prompt
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
        for number in range(job.copies):
            job.requests.append(
                Request(
                    tuple(ids),
                    body.max_tokens or DEFAULT_LENGTH,
                    sampling(service, body, number),
                    text.eos_ids,
                    logprobs=body.logprobs,
                )
            )
            job.replies.append(Reply(text.tokenizer, stops=body.stops))
    return job


class _Choice:
    """One completion on its way out. Counts characters, since logprobs say where in the text their tokens begin."""

    def __init__(self, service: Service, body: requests.TextCompletion, index: int) -> None:
        self._service, self._body, self._index = service, body, index
        self._offset = 0

    def of(self, parts: Sequence[Part], finish: Finish | None) -> dict[str, Any]:
        content = [part for part in parts if isinstance(part, Content)]
        tokens = [token for part in content for token in part.tokens]
        return {
            "index": self._index,
            "text": "".join(part.text for part in content),
            "finish_reason": finish,
            "logprobs": None if self._body.logprobs is None else self._logprobs(tokens),
        }

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any]:
        made: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
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
