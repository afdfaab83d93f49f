"""Bodies that aren't plain UTF-8 JSON: what is wrong, in words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.serve.http.serving import OneAtATime
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

CHAT = "/v1/chat/completions"
HELLO = json.dumps({"messages": [{"role": "user", "content": "caf\xe9 蓝"}], "max_tokens": 1}, ensure_ascii=False)


@pytest.fixture(scope="module")
def client(nano_bundle: Any, served_text: ModelText) -> Iterator[TestClient]:
    engine = OneAtATime(nano_bundle())
    yield TestClient(application(engine, text=served_text), base_url="http://127.0.0.1")
    engine.close()


def post(client: TestClient, body: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(CHAT, content=body, headers={"content-type": "application/json"} | named)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "GZIP", "deflate, gzip"])
def test_encoded_bodies(client: TestClient, encoding: str) -> None:
    response = post(client, gzip.compress(HELLO.encode(), mtime=0), content_encoding=encoding)
    assert response.status_code == 415 and response.headers["accept-encoding"] == "identity"
    assert response.json()["error"]["message"] == (
        f"the body is encoded ({encoding.lower()}); send it as it is, without Content-Encoding"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (HELLO.replace(" 蓝", "").encode("latin-1"), "not UTF-8, as JSON has to be: byte 46 is 0xe9"),
        (HELLO.encode("utf-16"), "UTF-16"),
        (HELLO.encode("utf-16-le"), "UTF-16"),
        (HELLO.encode("utf-16-be"), "UTF-16"),
        (HELLO.encode("utf-32"), "UTF-16"),
        (gzip.compress(HELLO.encode(), mtime=0), "not UTF-8"),
        (HELLO.encode()[:-9], "no JSON: "),
        (HELLO.encode() + b"x", "no JSON: Extra data, at line 1, column"),
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b"a=1&b=2", "no JSON"),
        (b"[]", "Input should be an object"),
        (b'{"messages": [], "seed": ' + b"9" * 5000 + b"}", "a number of the body is too large: 999"),
        (b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', "half of a surrogate pair, \\ud83d,"),
    ],
)
def test_what_is_no_json(client: TestClient, body: bytes, words: str) -> None:
    response = post(client, body)
    assert response.status_code == 400 and words in response.json()["error"]["message"], response.text


@pytest.mark.parametrize("value", ["1e400", "-Infinity", "NaN"])
def test_numbers_that_json_has_not_are_named_with_their_place(client: TestClient, value: str) -> None:
    body = f'{{"messages": [{{"role": "user", "content": "x"}}], "logit_bias": {{"5": {value}}}}}'
    error = post(client, body.encode()).json()["error"]
    assert error["param"] == "logit_bias.5" and error["message"].endswith("is no number of JSON")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (HELLO.encode(), {"content_encoding": "identity"}),
        (HELLO.encode(), {"content_type": "Application/JSON; charset=utf-8"}),
        (HELLO.encode("utf-8-sig"), {}),
        (json.dumps(json.loads(HELLO)).encode(), {"content_type": "application/json; charset=iso-8859-1"}),
        (HELLO.replace("蓝", "\\ud83d\\ude42").encode(), {}),
    ],
)
def test_what_is_json(client: TestClient, body: bytes, headers: dict[str, str]) -> None:
    response = post(client, body, **headers)
    assert response.status_code == 200, response.text
