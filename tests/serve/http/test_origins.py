"""Pages of other origins: which are let in, what they may send, and how their origins may be written."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.serve.http.serving import OneAtATime
from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.origins import origin
from youtu_onnx.serve.http.serving import settings
from youtu_onnx.serve.text.model_text import ModelText

OPENAI = (
    "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
)


@pytest.fixture
def client(engine: OneAtATime, served_text: ModelText) -> TestClient:
    made = settings("127.0.0.1", cors_origins=("HTTP://LocalHost:3000/", "https://a.example:443"), api_keys=("key",))
    return TestClient(application(engine, text=served_text, settings=made), base_url="http://127.0.0.1")


def preflight(client: TestClient, page: str, method: str = "POST", **more: str) -> Any:
    asked = {"Origin": page, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": OPENAI}
    return client.options("/v1/chat/completions", headers=asked | more)


@pytest.mark.parametrize("page", ["http://localhost:3000", "https://a.example"])
def test_openais_client_in_a_page(client: TestClient, page: str) -> None:
    for method in ("POST", "GET", "HEAD"):
        response = preflight(client, page, method)
        assert response.status_code == 200 and response.headers["access-control-allow-origin"] == page
        assert set(OPENAI.split(",")) <= set(response.headers["access-control-allow-headers"].replace(" ", "").lower().split(","))
    refused = client.get("/v1/models", headers={"Origin": page})  # the page can read why
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == page


def test_a_page_of_another_network(client: TestClient) -> None:
    private = {"Access-Control-Request-Private-Network": "true"}
    response = preflight(client, "https://a.example", **private)
    assert response.status_code == 200 and response.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-private-network" not in preflight(client, "https://a.example").headers
    assert "access-control-allow-private-network" not in preflight(client, "https://b.example", **private).headers


@pytest.mark.parametrize("page", ["https://b.example", "http://localhost:3001", "http://a.example", "null"])
def test_other_pages(client: TestClient, page: str) -> None:
    response = preflight(client, page)
    assert response.status_code == 400 and "access-control-allow-origin" not in response.headers
    assert page in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example/", "https://a.example"),
        (" HTTPS://A.Example ", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80/", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
        ("*", "*"),
    ],
)
def test_origins_are_read_as_browsers_write_them(written: str, sent: str) -> None:
    assert origin(written) == sent


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("localhost:3000", "http://localhost:3000"),
        ("a.example", "http://a.example"),
        ("", "http://localhost:3000"),
        ("https://a.example/app", "pass https://a.example"),
        ("https://a.example?x=1", "pass https://a.example"),
        ("https://me@a.example", "pass https://a.example"),
        ("https://*.a.example", "pass * alone for all"),
        ("https://a.example,https://b.example", "repeat --cors-origin"),
        ("https://a.example https://b.example", "repeat --cors-origin"),
        ("http://localhost:*", "http://localhost:3000"),
        ("http://localhost:99999", "http://localhost:3000"),
        ("https://", "http://localhost:3000"),
    ],
)
def test_what_is_no_origin_is_refused_before_anything_starts(written: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        settings("127.0.0.1", cors_origins=(written,))
    assert repr(written) in refused.value.message and hint in (refused.value.hint or "")


def test_names_by_which_a_server_may_be_asked(engine: OneAtATime, served_text: ModelText) -> None:
    made = settings("127.0.0.1", names=("Model.Example.org:8080", "other.example."))
    client = TestClient(application(engine, text=served_text, settings=made), base_url="http://127.0.0.1")
    for host in ("model.example.org", "model.example.org:80", "other.example"):
        assert client.get("/health", headers={"Host": host}).status_code == 200
    for name in ("http://a.example", "", "*", "a b"):
        with pytest.raises(UsageError, match="is no name"):
            settings("127.0.0.1", names=(name,))
