"""Requests as they go wrong: what a client sent, changed at random places, down to the bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.serve.http.clients.recording import Recorded

WORDS = (
    "", " ", "x", "user", "assistant", "tool", "function", "required", "none", "auto", "text", "image_url",
    "json_schema", "json_object", "object", "null", "\u0000", "é", "蓝", "🙂", "\ud83d", "\udc00x", "<|User|>", "<think>",
    "</tool_call>", "{", '"', "../..", "y" * 3000,
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 5.0, 0.5, -0.0, 1e-320, 1e308, 1 << 31, 1 << 63, -(1 << 63), 10**40, float("inf"), float("nan"))
MEMBERS = (
    "index", "parsed", "reasoning", "refusal", "audio", "name", "strict", "function_call", "content", "tool_calls",
    "type", "text", "id", "$ref", "pattern", "items", "enum", "n", "seed", "stop", "logprobs", "top_logprobs",
    "logit_bias", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "response_format", "tool_choice", "parallel_tool_calls", "made_up",
)  # fmt: skip
OPTIONS: tuple[dict[str, Any], ...] = (
    {"n": 2},
    {"logprobs": True, "top_logprobs": 2},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"stop": ["4", "\n"]},
    {"seed": -1, "temperature": 2.0, "top_p": 0.1},
    {"logit_bias": {"5": 100, "6": -100}, "presence_penalty": 2, "frequency_penalty": -2},
    {"tool_choice": "auto", "parallel_tool_calls": False},
    {"response_format": {"type": "json_object"}},
    {"max_tokens": 40, "top_k": 3, "repetition_penalty": 1.5},
    {"store": False, "metadata": {}, "user": "me", "service_tier": "flex", "modalities": ["text"], "prediction": {}},
)
"""What a request may ask for, so that it is still one."""
SCHEMAS = (
    {"type": "string", "pattern": "^(?!a)b"},
    {"type": "wat"},
    {"$ref": "#/nowhere"},
    {"$ref": "#"},
    {"anyOf": [{"$ref": "#"}, {"not": {}}]},
    {"type": "string", "pattern": "(a|b){0,900}(c|d){0,900}"},
    {"type": "integer", "minimum": 5, "maximum": 1},
    {"enum": []},
    True,
    False,
)
PATHS = (
    "/v1/chat/completions/", "//v1//chat/completions", "/chat/completions", "/v1/v1/chat/completions", "/v1/responses",
    "/v1/embeddings", "/v1", "/", "/chat", "/render", "/v1/completions", "/v1/models/a/b%2Fc", "/health", "/metrics",
    "/static/../x", "/%ff%00", "/docs/",
)  # fmt: skip
HEADERS = (
    ("content-type", "text/plain"),
    ("content-type", "application/json; charset=utf-16"),
    ("content-type", ""),
    ("content-encoding", "gzip"),
    ("content-encoding", "identity"),
    ("authorization", "Bearer"),
    ("expect", "100-continue"),
    ("origin", "http://evil.example"),
    ("accept", "text/html"),
    ("host", "evil.example"),
    ("connection", "upgrade"),
    ("range", "bytes=0-1"),
    ("x-long", "x" * 9000),
    ("x-latin", "caf\xe9"),
)


@dataclass(frozen=True)
class Raw:
    """A request as bytes go over the line."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __bytes__(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def mutations(recordings: list[Recorded], seed: int, count: int) -> Iterator[Raw]:
    """So many, which depend on the seed alone."""
    chance = random.Random(seed)
    for _ in range(count):
        one = chance.choice(recordings)
        body = short(one.body)
        if isinstance(body, dict) and one.path.startswith("/v1/") and chance.random() < 0.3:
            body |= chance.choice(OPTIONS)
        for _ in range(chance.choice((1, 1, 1, 1, 2, 8))):
            body = changed(body, chance)
        method, path, headers = one.method, one.path, dict(one.headers)
        raw = b"" if body is None else json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
        if chance.random() < 0.1:
            raw = damaged(raw, chance)
        if chance.random() < 0.05:
            path = chance.choice(PATHS)
        if chance.random() < 0.03:
            method = chance.choice(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"))
        if chance.random() < 0.1:
            name, value = chance.choice(HEADERS)
            headers[name] = value
        if chance.random() < 0.03 and headers:
            del headers[chance.choice(list(headers))]
        framing = {"host": "127.0.0.1", "connection": "close"} | headers | ({"content-length": str(len(raw))} if raw else {})
        yield Raw(method, path, tuple(framing.items()), raw)


def short(body: Any) -> Any:
    """The same request for a reply of few tokens."""
    if not isinstance(body, dict):
        return body
    if "markdown" in body:
        return body
    names = ("max_completion_tokens", "max_output_tokens")
    name = next((name for name in names if name in body), "max_tokens")
    return {**body, name: 2}


def changed(body: Any, chance: random.Random) -> Any:
    """A copy that differs in one place, each as likely."""
    return at(body, chance.choice(list(places(body))), chance)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*place, name))


def at(value: Any, place: tuple[Any, ...], chance: random.Random) -> Any:
    if not place:
        return added(value, None, chance) if isinstance(value, (dict, list)) and chance.random() < 0.7 else other(value, chance)
    name, one = place[0], value[place[0]]
    if len(place) == 1 and chance.random() < 0.4:
        return without(value, name) if chance.random() < 0.5 else added(value, one, chance)
    return replaced(value, name, at(one, place[1:], chance))


def replaced(value: Any, name: Any, one: Any) -> Any:
    return value | {name: one} if isinstance(value, dict) else [*value[:name], one, *value[name + 1 :]]


def without(value: Any, name: Any) -> Any:
    return (
        {key: one for key, one in value.items() if key != name} if isinstance(value, dict) else value[:name] + value[name + 1 :]
    )


def added(value: Any, one: Any, chance: random.Random) -> Any:
    new = one if one is not None and chance.random() < 0.5 else other(None, chance)
    return value | {chance.choice(MEMBERS): new} if isinstance(value, dict) else [*value, new]


def other(value: Any, chance: random.Random) -> Any:
    """Something of another type, or the same inside of something."""
    depth = chance.choice((1, 1, 1, 2, 3, 70))
    kind = chance.randrange(9)
    if kind == 0:
        return None
    if kind == 1:
        return chance.random() < 0.5
    if kind == 2:
        return chance.choice(NUMBERS)
    if kind in (3, 4):
        return chance.choice(WORDS)
    if kind == 5:
        return chance.choice(SCHEMAS)
    if kind == 6:
        for _ in range(depth):
            value = [value]
        return value
    if kind == 7:
        for _ in range(depth):
            value = {chance.choice(MEMBERS): value}
        return value
    return chance.choice(([], {}, [[]], str(value)[:200], [value] * 3))


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """Bytes that are cut off, changed, or in another encoding."""
    place = chance.randrange(len(raw) + 1)
    match chance.randrange(7):
        case 0:
            return raw[:place]
        case 1:
            return raw[:place] + chance.choice((b"\xff", b"\xe9", b"\x00", b"\xed\xa0\x80", b"]", b"\\", b'"')) + raw[place:]
        case 2:
            return raw.decode("utf-8", "replace").encode("utf-16")
        case 3:
            return b"\xef\xbb\xbf" + raw
        case 4:
            return raw + raw
        case 5:
            return raw[:place] + chance.randbytes(3) + raw[place + 3 :]
    return raw.replace(b"2", b"9" * 500, 1)
