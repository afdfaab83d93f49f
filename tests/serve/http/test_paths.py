"""Base URLs as people write them, HEAD, and what is said of routes that aren't here."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from tests.serve.http.serving import OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.connections import protocol
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

HELLO: Any = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 1}


@pytest.fixture(scope="module")
def app(nano_bundle: Any, served_text: ModelText) -> Iterator[Any]:
    engine = OneAtATime(nano_bundle())
    yield application(engine, text=served_text, settings=Settings(api_keys=("key",)))
    engine.close()


@pytest.fixture(scope="module")
def client(app: Any) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": "Bearer key"}, follow_redirects=False)


@pytest.fixture(scope="module")
def url(app: Any) -> Iterator[str]:
    with listening(app, http=protocol(Settings())) as url:
        yield url


@pytest.mark.parametrize("base", ["/v1", "/v1/", "", "/", "//v1", "/v1/v1"])
def test_base_urls_of_openais_client(url: str, base: str) -> None:
    client = openai.OpenAI(base_url=f"{url}{base}", api_key="key", max_retries=0)
    assert client.models.list().data[0].id == client.models.retrieve("youtu-nano").id
    assert client.chat.completions.create(model="youtu-nano", **HELLO).choices
    assert client.completions.create(model="youtu-nano", prompt="a", max_tokens=1).choices


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "//v1//chat/completions", "/chat/completions", "/v1/v1/chat/completions"]
)
def test_paths_as_programs_put_them_together(client: TestClient, path: str) -> None:
    response = client.post(f"http://127.0.0.1{path}", json=HELLO)
    assert response.status_code == 200 and response.json()["object"] == "chat.completion"


def test_a_path_in_another_form_needs_the_key_too(app: Any) -> None:
    client = TestClient(app, base_url="http://127.0.0.1")
    for path in ("/models", "//v1/models", "/v1/models/", "/v1/v1/models", "/health/../metrics", "//metrics", "/v1/nothing"):
        assert client.get(f"http://127.0.0.1{path}").status_code == 401
    assert client.get("http://127.0.0.1//health/").status_code == 200


def test_models_with_slashes_in_their_names(nano_bundle: Any, served_text: ModelText) -> None:
    from dataclasses import replace

    engine = OneAtATime(nano_bundle())
    app = application(engine, text=replace(served_text, id="tencent/Youtu-LLM-2B"))
    client = TestClient(app, base_url="http://127.0.0.1")
    for name in ("tencent/Youtu-LLM-2B", "tencent%2FYoutu-LLM-2B", "tencent/Youtu-LLM-2B/"):
        assert client.get(f"/v1/models/{name}").json()["id"] == "tencent/Youtu-LLM-2B"
    assert client.post("/v1/chat/completions", json=HELLO | {"model": "tencent/Youtu-LLM-2B"}).status_code == 200
    engine.close()


@pytest.mark.parametrize(
    "path", ["/", "/health", "/metrics", "/v1/models", "/v1/models/youtu-nano", "/docs", "/openapi.json", "/static/app.js"]
)
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code == 200 and not head.content
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":  # which changes
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


def test_head_of_what_is_not_there(client: TestClient) -> None:
    assert client.head("/nothing").status_code == 404 and client.head("/v1/chat/completions").status_code == 405


def test_head_over_a_real_connection_leaves_it_usable(url: str) -> None:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as client:
        client.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        first, _, rest = read(client).partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200") and rest.startswith(b"HTTP/1.1 200") and rest.endswith(b"}")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_over_http_1_0_without_a_host(url: str, method: str) -> None:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as client:
        client.sendall(f"{method} /health HTTP/1.0\r\n\r\n".encode())
        answer = read(client)
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"}" if method == "GET" else b"\r\n\r\n")


def test_a_name_that_is_not_ours_is_refused_over_http_1_0_too(url: str) -> None:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as client:
        client.sendall(b"GET /health HTTP/1.0\r\nHost: evil.example\r\n\r\n")
        assert read(client).startswith(b"HTTP/1.1 403")


def test_a_client_that_would_rather_speak_http_2(url: str) -> None:
    """Java's offers to change the protocol with its first request, and sends the body all the same."""
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    body = json.dumps(HELLO)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\nContent-Length: {len(body)}\r\n"
    )
    request = f"{head}Content-Type: application/json\r\n{offer}\r\n{body}"
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as client:
        for _ in range(2):
            client.sendall(request.encode())
            with HTTPResponse(client) as answer:
                answer.begin()
                assert answer.status == 200 and json.loads(answer.read())["choices"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/responses/resp_1/cancel", "fetched by their ids"),
        ("/v1/embeddings", "makes no embeddings"),
        ("/v1/messages", "Anthropic"),
        ("/v1/chat/completions/chat/completions", "and /v1, and no more"),
        ("/v1", "base URL"),
        ("/v1/audio/speech", "POST /v1/chat/completions"),
        ("/v1/images/generations", "POST /v1/chat/completions"),
        ("/nothing", "/docs"),
    ],
)
def test_routes_that_are_not_here(client: TestClient, path: str, words: str) -> None:
    for response in (client.post(path, json={}), client.post(path, content=b"no JSON"), client.get(path)):
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (404, "unknown_url")
        assert repr(path) in error["message"] and words in error["message"]


def test_routes_of_ollamas_that_are_not_here_say_so_in_its_shape(client: TestClient) -> None:
    for path, words in (("/api/pull", "youtu-onnx serve"), ("/api/embed", "makes no embeddings"), ("/api/nothing", "/docs")):
        response = client.post(path, json={})
        assert response.status_code == 404 and words in response.json()["error"] and repr(path) in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/v1/chat/completions", "POST"), ("POST", "/", "GET, HEAD"), ("DELETE", "/v1/models", "GET, HEAD")],
)
def test_methods_that_do_nothing(client: TestClient, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405 and response.headers["allow"] == allowed
    assert response.json()["error"]["message"].startswith(f"{method} does nothing at {path!r}, only ")


def read(client: socket.socket) -> bytes:
    answer = b""
    while piece := client.recv(65536):
        answer += piece
    return answer
