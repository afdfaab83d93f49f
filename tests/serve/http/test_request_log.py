"""The log of requests: what was asked by whom, in one line each, and nothing of what was said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.serve.http.serving import OneAtATime
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.request_log import line
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

SUM = {"messages": [{"role": "user", "content": "What is 47 + 38?"}]}


@pytest.fixture(scope="module")
def served(nano_bundle: Any, served_text: ModelText) -> Iterator[tuple[TestClient, list[str]]]:
    engine, lines = OneAtATime(nano_bundle()), list[str]()
    app = application(engine, text=served_text, settings=Settings(log_requests=True, api_keys=("secret",)), logged=lines.append)
    yield TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": "Bearer secret"}), lines
    engine.close()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_a_line_with_its_tokens(served: tuple[TestClient, list[str]], stream: bool) -> None:
    client, lines = served
    lines.clear()
    usage = client.post("/v1/chat/completions", json=SUM).json()["usage"]
    lines.clear()
    assert client.post("/v1/chat/completions", json=SUM | {"stream": stream}).status_code == 200
    [said] = lines
    assert "testclient POST /v1/chat/completions 200" in said
    assert f"{usage['prompt_tokens']} tokens of prompt (" in said and said.endswith(f"{usage['completion_tokens']} of reply")
    assert "47" not in said and "secret" not in said


def test_refusals_are_lines_too(served: tuple[TestClient, list[str]]) -> None:
    client, lines = served
    lines.clear()
    client.post("/v1/chat/completions", json={})
    client.get("/nothing?secret=1")
    client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
    assert [said.split()[2:5] for said in lines] == [
        ["POST", "/v1/chat/completions", "400"],
        ["GET", "/nothing", "404"],
        ["GET", "/v1/models", "401"],
    ]
    assert "secret" not in "".join(lines)


def test_a_path_begins_no_line_of_its_own() -> None:
    said = line({"method": "GET", "path": "/a\n12:00:00 fake\x1b[2Jé" + "x" * 1000, "client": ("::1", 5)}, 404, 1.5)
    assert "\n" not in said and "\x1b" not in said and len(said) < 300 and said.endswith(" 404 1.50 s")


def test_without_the_setting_nothing_is_said(engine: OneAtATime, served_text: ModelText) -> None:
    lines: list[str] = []
    client = TestClient(application(engine, text=served_text, logged=lines.append), base_url="http://127.0.0.1")
    assert client.get("/health").status_code == 200 and not lines
