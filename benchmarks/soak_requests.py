"""What the soak's clients send, and what has to come back. A number gives a request, always the same one."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

WORDS = ("river", "stone", "seven", "apple", "train", "light", "under", "green", "north", "paper", "water", "music")
VARIANTS = 10
"""Requests of a kind that differ; each comes many times, and its answer is always that of the first time."""
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
WRONG: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", {"messages": []}),
    ("/v1/chat/completions", {"messages": [{"role": "king", "content": "x"}]}),
    ("/v1/completions", {"prompt": "x", "temperature": "hot"}),
    ("/v1/completions", {"prompt": "x", "no_such_field": 1}),
    ("/v1/completions", {"prompt": [10**9]}),
    ("/chat", {}),
    ("/render", {"markdown": 1}),
    (
        "/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "x"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "array", "uniqueItems": True}},
            },
        },
    ),
)
WEIGHTS = {
    "chat": 14,
    "chat stream": 14,
    "completion": 12,
    "completion stream": 12,
    "own chat stream": 6,
    "two replies": 4,
    "sampled": 6,
    "JSON schema": 6,
    "tool call": 6,
    "long prompt": 6,
    "left in mid-stream": 8,
    "left while waiting": 4,
    "wrong": 8,
    "render": 4,
    "metrics": 3,
    "health": 3,
    "models": 2,
}
LEAVING = ("left in mid-stream", "left while waiting")
STATUSES = {"wrong": 400}


@dataclass(frozen=True)
class Asked:
    """``key``: the same for requests that have the same answer; None where that isn't to be compared."""

    kind: str
    path: str
    body: dict[str, Any] | None
    key: str | None
    leave_after: float = 0.0

    @property
    def streams(self) -> bool:
        return bool(self.body and self.body.get("stream"))


@dataclass
class Answer:
    """``first``: seconds to the first piece of a stream's text; ``busy``: how often the server said 429 before."""

    asked: Asked
    status: int
    text: str = ""
    first: float | None = None
    busy: int = 0
    wrong: list[str] = field(default_factory=list)


def request(seed: int, number: int) -> Asked:
    chance = random.Random(f"{seed} {number}")
    kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    variant = chance.randrange(VARIANTS)
    return _asked(kind, variant, chance)


def every(seed: int) -> list[Asked]:
    """One of each that are compared."""
    chance = random.Random(seed)
    asked = [_asked(kind, variant, chance) for kind in WEIGHTS for variant in range(VARIANTS)]
    return list({one.key: one for one in asked if one.key}.values())


def _asked(kind: str, variant: int, chance: random.Random) -> Asked:
    words = random.Random(variant)
    text = " ".join(words.choices(WORDS, k=240 if kind == "long prompt" else 2 + 3 * variant))
    key = f"{kind} {variant}"
    plain = {"prompt": text, "max_tokens": 8 + 4 * variant, "temperature": 0}
    chat = {"messages": [{"role": "user", "content": text}], "max_tokens": 12 + 4 * variant, "temperature": 0}
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    match kind:
        case "chat":
            return Asked(kind, "/v1/chat/completions", chat, key)
        case "long prompt":
            return Asked(kind, "/v1/chat/completions", chat | {"logprobs": True, "top_logprobs": 2}, key)
        case "chat stream":
            return Asked(kind, "/v1/chat/completions", chat | stream, key)
        case "completion":
            return Asked(kind, "/v1/completions", plain, key)
        case "completion stream":
            return Asked(kind, "/v1/completions", plain | stream, key)
        case "own chat stream":
            return Asked(kind, "/chat", plain | {"stream": True}, key)
        case "two replies":
            return Asked(kind, "/v1/completions", plain | {"n": 2, "logprobs": 2}, key)
        case "sampled":
            return Asked(kind, "/v1/completions", plain | {"temperature": 0.9, "seed": variant}, key)
        case "JSON schema":
            form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
            more = {"max_tokens": 120, "response_format": form, "logprobs": True, "top_logprobs": 20}
            return Asked(kind, "/v1/chat/completions", chat | more, key)
        case "tool call":
            return Asked(kind, "/v1/chat/completions", chat | {"max_tokens": 80, "tools": [TOOL], "tool_choice": "required"}, key)
        case "left in mid-stream" | "left while waiting":
            body = plain | {"max_tokens": 400, "logit_bias": {"1": -100}} | (stream if kind == LEAVING[0] else {})
            return Asked(kind, "/v1/completions", body, None, chance.uniform(0, 0.2))
        case "wrong":
            return Asked(kind, *WRONG[variant % len(WRONG)], None)
        case "render":
            return Asked(kind, "/render", {"markdown": f"# {text}\n\n$a^{variant}$\n\n```python\nprint({variant})\n```"}, key)
    return Asked(kind, {"metrics": "/metrics", "health": "/health", "models": "/v1/models"}[kind], None, None)


async def ask(client: httpx.AsyncClient, asked: Asked) -> Answer:
    """Send it until it isn't refused for want of a place, and check what comes."""
    busy = 0
    while True:
        answer = await (_leave(client, asked) if asked.kind in LEAVING else _read(client, asked))
        answer.busy = busy
        if answer.status != 429:
            break
        busy += 1
        await asyncio.sleep(float(answer.text))
    if answer.status != STATUSES.get(asked.kind, 200) and answer.status != 0:
        answer.wrong.append(f"status {answer.status}: {answer.text[:200]}")
    return answer


async def _leave(client: httpx.AsyncClient, asked: Asked) -> Answer:
    """Close the connection after a while; status 0 where no answer had begun by then."""
    answer = Answer(asked, 0)
    try:
        async with asyncio.timeout(asked.leave_after), client.stream("POST", asked.path, json=asked.body) as response:
            answer.status = response.status_code
            if response.status_code == 429:
                answer.text = _retry(response, answer)
                return answer
            async for _ in response.aiter_bytes():
                pass
    except TimeoutError:
        pass
    return answer


async def _read(client: httpx.AsyncClient, asked: Asked) -> Answer:
    began = time.perf_counter()
    method = "GET" if asked.body is None else "POST"
    async with client.stream(method, asked.path, json=asked.body) as response:
        answer = Answer(asked, response.status_code)
        if response.status_code == 429:
            answer.text = _retry(response, answer)
            return answer
        if asked.streams and response.status_code == 200:
            lines = []
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    lines.append(line[6:])
                    if answer.first is None and _has_text(line):
                        answer.first = time.perf_counter() - began
            _check_stream(answer, lines)
            return answer
        content = await response.aread()
    if asked.kind == "metrics":
        if b"youtu_onnx_requests_total" not in content:
            answer.wrong.append("metrics without requests")
        return answer
    _check_whole(answer, json.loads(content))
    return answer


def _retry(response: httpx.Response, answer: Answer) -> str:
    after = response.headers.get("retry-after", "")
    if not after.isdigit() or int(after) < 1:
        answer.wrong.append(f"429 with Retry-After {after!r}")
        return "1"
    return str(after)


def _has_text(line: str) -> bool:
    return (
        any(mark in line for mark in ('"text":"', '"content":"', '"reasoning_content":"', '"response":"', '"thinking":"'))
        and '"role"' not in line
    )


def _check_stream(answer: Answer, lines: list[str]) -> None:
    if not lines or lines.pop() != "[DONE]":
        answer.wrong.append("a stream without [DONE]")
        return
    events = [json.loads(line) for line in lines]
    errors = [event["error"] for event in events if "error" in event]
    usages = [event["usage"] for event in events if event.get("usage")]
    reasons = [reason for event in events for one in (event.get("choices") or [event]) if (reason := one.get("finish_reason"))]
    if errors or len(usages) != 1 or len(reasons) != 1:
        answer.wrong.append(f"errors {errors}, {len(usages)} usages, finish reasons {reasons}")
        return
    _check_usage(answer, usages[0])
    pieces = [event.get("response") or event.get("thinking") or "" for event in events]
    for event in events:
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or choice
            pieces.append(delta.get("text") or delta.get("content") or delta.get("reasoning_content") or "")
    answer.text = "".join(pieces) + reasons[0]


def _check_whole(answer: Answer, made: dict[str, Any]) -> None:
    kind = answer.asked.kind
    if answer.status != 200:
        answer.text = json.dumps(made)
        if made.keys() != {"error"} or made["error"].keys() != {"message", "type", "param", "code"}:
            answer.wrong.append(f"an error without the shape of errors: {answer.text[:200]}")
        return
    if "usage" in made:
        _check_usage(answer, made["usage"])
        choices = made["choices"]
        answer.text = json.dumps(
            [(one.get("text"), _said(one.get("message")), one["finish_reason"], one.get("logprobs")) for one in choices]
        )
        whole = choices[0]["finish_reason"] != "length"
        if kind == "JSON schema" and whole and json.loads(choices[0]["message"]["content"]).keys() != {"name", "age", "tags"}:
            answer.wrong.append(f"JSON of another shape: {answer.text[:200]}")
        if kind == "tool call" and whole:
            called = choices[0]["message"]["tool_calls"][0]["function"]
            if called["name"] != "weather" or json.loads(called["arguments"]).keys() != {"city"}:
                answer.wrong.append(f"a call of another shape: {answer.text[:200]}")
    elif kind == "render":
        answer.text = made["html"]
    elif kind == "health" and made["status"] != "ok":
        answer.wrong.append(f"health: {made}")


def _said(message: dict[str, Any] | None) -> Any:
    """A message less the names that its calls were given, which differ."""
    if message is None:
        return None
    return [
        message.get("content"),
        message.get("reasoning_content"),
        [call["function"] for call in message.get("tool_calls") or ()],
    ]


def _check_usage(answer: Answer, usage: dict[str, Any]) -> None:
    body = answer.asked.body or {}
    most = body.get("max_tokens", 0) * body.get("n", 1)
    if (
        usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]
        or usage["completion_tokens"] > most
        or usage["prompt_tokens_details"]["cached_tokens"] > usage["prompt_tokens"]
        or usage["prompt_tokens"] < 1
    ):
        answer.wrong.append(f"usage {usage}")
