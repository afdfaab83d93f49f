"""What clients sent once is answered, and however it is changed, it is answered or refused in words."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.effort import EFFORT, SEED
from tests.serve.http.clients.recording import Recorded, recordings
from tests.serve.http.mutations import Raw, mutations
from tests.serve.http.serving import listening
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.serve.engine.limits import Limits
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.connections import protocol
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

JSON = {"content-type": "application/json"}
OWN = [
    Recorded("curl", "POST", "/chat", JSON, {"prompt": "What is 4 + 3?", "max_tokens": 8}),
    Recorded("curl", "POST", "/chat", JSON, {"messages": [{"role": "user", "content": "Hi"}], "stream": True, "stop": "."}),
    Recorded("curl", "POST", "/render", JSON, {"markdown": "*a* $b^2$\n\n```python\nc = 1\n```"}),
    Recorded("curl", "POST", "/v1/responses", JSON, {"input": "What is 4 + 3?", "max_output_tokens": 8}),
    Recorded(
        "curl",
        "POST",
        "/v1/responses",
        JSON,
        {
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
                {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "2"},
            ],
            "tools": [{"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}, "strict": True}],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]},
            "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object", "properties": {}}}},
            "include": ["message.output_text.logprobs"],
            "metadata": {"a": "b"},
            "max_output_tokens": 8,
            "stream": True,
        },
    ),
    Recorded(
        "curl",
        "POST",
        "/api/chat",
        JSON,
        {
            "model": "youtu-nano",
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]},
                {"role": "tool", "tool_name": "add", "content": "2"},
            ],
            "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}],
            "format": {"type": "object", "properties": {}},
            "options": {"num_predict": 8, "num_ctx": 2048},
            "think": False,
        },
    ),
    Recorded("curl", "POST", "/api/generate", JSON, {"model": "youtu-nano", "prompt": "4 + 3", "options": {"num_predict": 8}}),
    Recorded("curl", "POST", "/api/show", JSON, {"model": "youtu-nano:latest"}),
    Recorded("curl", "POST", "/v1/completions", JSON, {"prompt": [[5, 6], [7]], "n": 2, "stream": True}),
]
"""For the routes that are this server's own, and tokens as a prompt."""
MUTATIONS = 600 * EFFORT


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def port(nano_bundle: Callable[..., Path], served_text: ModelText) -> Iterator[int]:
    """Of a server as people run it, whose model writes little where it isn't asked for more."""
    bundle = nano_bundle()
    engine = open_engine(Bundle.open(bundle), provider="cpu", limits=Limits(threads=1))
    settings = Settings(body_seconds=2)
    app = application(engine, text=replace(served_text, max_tokens=2), settings=settings)
    with listening(app, http=protocol(settings)) as url:
        yield int(url.rpartition(":")[2])
    engine.close()


def send(port: int, raw: Raw) -> Answer:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(bytes(raw))
        with http.client.HTTPResponse(client, method=raw.method) as answer:
            answer.begin()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def as_it_was(one: Recorded) -> Raw:
    body = b"" if one.body is None else json.dumps(one.body).encode()
    headers = {"host": "127.0.0.1"} | one.headers | ({"content-length": str(len(body))} if body else {})
    return Raw(one.method, one.path, tuple(headers.items()), body)


def test_what_clients_sent_is_answered(port: int) -> None:
    kept = recordings()
    assert len({one.client for one in kept}) == 6
    for one in [*kept, *OWN]:
        answer = send(port, as_it_was(one))
        assert answer.status == 200, (one.client, one.body, answer.body)


@pytest.mark.slow
def test_what_is_changed_is_answered_or_refused_in_words(port: int) -> None:
    print(f"YOUTU_ONNX_TEST_SEED={SEED}")
    statuses = Counter[int]()
    for number, raw in enumerate(mutations([*recordings(), *OWN * 3], SEED, MUTATIONS)):
        try:
            answer = send(port, raw)
            statuses[answer.status] += 1
            check(raw, answer)
        except Exception as error:
            raise AssertionError(f"mutation {number} of YOUTU_ONNX_TEST_SEED={SEED}: {error!r}\n{bytes(raw)[:6000]!r}") from error
    print(dict(statuses))
    assert statuses[200] > MUTATIONS / 10 < statuses[400]
    assert send(port, as_it_was(recordings()[1])).status == 200


def check(raw: Raw, answer: Answer) -> None:
    assert answer.status < 500, answer
    assert len(answer.body) < 1 << 20
    if answer.status >= 400 and raw.method != "HEAD":
        problem = json.loads(answer.body)
        assert problem.keys() == {"error"}
        if isinstance(problem["error"], str):  # Ollama's
            assert len(problem["error"].split()) > 2 and "/api/" in raw.path
        else:
            check_error(problem["error"])
    elif "application/x-ndjson" in answer.headers.get("content-type", "") and raw.method != "HEAD":
        *said, last = [json.loads(line) for line in answer.body.splitlines()]
        assert not any(line.get("done", True) for line in said) and (last.get("done") or last["error"])
    elif "text/event-stream" in answer.headers.get("content-type", "") and raw.method != "HEAD":
        events = answer.body.decode().split("\n\n")
        if events[0].startswith("event: "):
            check_responses(events)
            return
        assert events[-2:] == ["data: [DONE]", ""]
        for event in events[:-2]:
            value = json.loads(event.removeprefix("data: "))
            if "error" in value:
                check_error(value["error"])
                assert value["error"]["type"] != "server_error"


def check_responses(events: list[str]) -> None:
    *values, last = [json.loads(event.partition("\ndata: ")[2]) for event in events[:-1]]
    assert events[-1] == "" and last["type"] in ("response.completed", "response.incomplete", "response.failed")
    assert [value["sequence_number"] for value in (*values, last)] == list(range(len(values) + 1))
    for value in values:
        if value["type"] == "error":
            assert value["code"] not in ("internal_error", "engine_error") and len(value["message"].split()) > 2


def check_error(error: dict[str, Any]) -> None:
    assert error.keys() == {"message", "type", "param", "code"}
    message = error["message"]
    assert len(message.split()) > 2 and len(message) < 1000 and "\n" not in message, message
