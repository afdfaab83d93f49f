"""The server's own routes: /chat, /render, /health, /metrics and the description."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.cli_process import ROOT
from tests.serve.http.serving import OneAtATime
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text import markdown
from youtu_onnx.serve.text.model_text import ModelText


@pytest.fixture
def client(engine: OneAtATime, served_text: ModelText) -> TestClient:
    return TestClient(application(engine, text=served_text), base_url="http://localhost")


def test_chat(client: TestClient) -> None:
    made = client.post("/chat", json={"prompt": "What is 47 + 38?"}).json()
    assert made["response"] == "85" and made["thinking"].startswith("47+38") and made["finish_reason"] == "stop"
    messages = [{"role": "user", "content": "What is 47 + 38?"}]
    assert client.post("/chat", json={"messages": messages}).json()["response"] == "85"
    plain = client.post("/chat", json={"prompt": "What is 47 + 38?", "enable_thinking": False}).json()
    assert "thinking" not in plain
    short = client.post("/chat", json={"prompt": "Hello!", "max_tokens": 3}).json()
    assert short["usage"]["completion_tokens"] == 3 and short["finish_reason"] == "length"
    assert client.post("/chat", json={"prompt": "Hello!", "stop": "!"}).json()["response"] == "Hello"


def test_the_reply_is_that_of_the_library(client: TestClient, nano_bundle: Any) -> None:
    from youtu_onnx.chat.opening import load

    with load(nano_bundle()) as model:
        for prompt in ("Hello!", "把列表 [4, 9, 1, 7] 从小到大排序。"):
            result = model.generate(prompt)
            made = client.post("/chat", json={"prompt": prompt}).json()
            assert (made["response"], made.get("thinking", "")) == (result.answer, result.thinking)
            assert made["usage"]["completion_tokens"] == result.usage.completion_tokens


def test_render(client: TestClient) -> None:
    assert client.post("/render", json={"markdown": "*a*"}).json() == {"html": "<p><em>a</em></p>\n"}
    assert client.post("/render", json={"markdown": "a" * 300_000}).status_code == 413


def test_texts_that_take_long_to_render_keep_no_chat_waiting(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, texts = threading.Event(), [str(number) for number in range(12)]
    monkeypatch.setattr(markdown, "render", lambda text: go_on.wait(20) and text)
    with client, ThreadPoolExecutor(len(texts)) as pool:  # the client's one event loop is everyone's
        waiting = [pool.submit(client.post, "/render", json={"markdown": text}) for text in texts]
        try:
            assert client.post("/chat", json={"prompt": "Hello!", "max_tokens": 2}).status_code == 200
            assert not any(one.done() for one in waiting)
        finally:
            go_on.set()
        assert [one.result().json()["html"] for one in waiting] == texts


def test_health_and_metrics(client: TestClient) -> None:
    client.post("/chat", json={"prompt": "Hello!"})
    assert client.get("/health").json() == {"status": "ok", "model": "youtu-nano", "queued": 0, "running": 0, "places": 1}
    client.get("/made/up/path")
    text = client.get("/metrics").text
    numbers = dict(re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE))
    assert numbers["youtu_onnx_time_to_first_token_seconds_count"] == "1.0"
    assert numbers['youtu_onnx_requests_total{route="/chat",status="200"}'] == "1.0"
    assert numbers['youtu_onnx_requests_total{route="other",status="404"}'] == "1.0"
    assert "made/up" not in text
    assert float(numbers["youtu_onnx_completion_tokens_total"]) == 8
    for name in (
        "queued",
        "running",
        "places",
        "cache_bytes",
        "prompt_tokens_total",
        "reused_tokens_total",
        "tokens_per_second_count",
    ):
        assert f"youtu_onnx_{name}" in numbers


def test_two_applications_share_nothing(engine: OneAtATime, served_text: ModelText) -> None:
    one, other = (TestClient(application(engine, text=served_text), base_url="http://localhost") for _ in range(2))
    one.get("/health")
    assert 'route="/health"' in one.get("/metrics").text and 'route="/health"' not in other.get("/metrics").text


def test_a_base_model_has_no_chat(engine: OneAtATime, served_text: ModelText) -> None:
    from dataclasses import replace

    client = TestClient(application(engine, text=replace(served_text, template=None)), base_url="http://localhost")
    assert client.post("/chat", json={"prompt": "a"}).json()["error"]["code"] == "no_chat_template"
    assert client.post("/v1/completions", json={"prompt": "a", "max_tokens": 2}).status_code == 200
    assert not client.get("/v1/models").json()["data"][0]["chat"]


def test_the_description_has_examples_that_work_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method in methods.values():
            assert method["description"] and "422" not in method["responses"]
            if "requestBody" in method:
                name = method["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
                for example in described["components"]["schemas"][name]["examples"]:
                    assert client.post(path, json=example).status_code == 200
    page = client.get("/docs").text
    for source in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert source.startswith("/docs/")
        assert client.get(source).status_code == 200
    assert not re.search(r"<script>|onload=|style=", page)


def test_serving_needs_no_torch() -> None:
    code = (
        "import sys, youtu_onnx.serve.http.application, youtu_onnx.serve.http.server, youtu_onnx.serve.text.model_text\n"
        "assert not {'torch', 'transformers', 'onnx'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
