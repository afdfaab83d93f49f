"""Clients that leave, that are slow, and that wait: over real connections."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.serve.http.serving import OneAtATime, listening
from youtu_onnx.serve.engine.request import Ended, Request, Token
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.http.submission import Submission
from youtu_onnx.serve.text.model_text import ModelText

LONG = {"prompt": "Hello!", "max_tokens": 900, "logit_bias": {"1": -100}}
"""A reply that doesn't end by itself: its end token is ruled out."""


@contextmanager
def served(engine: OneAtATime, text: ModelText, **settings: Any) -> Iterator[str]:
    with listening(application(engine, text=text, settings=Settings(**settings))) as url:
        yield url


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat", LONG),
        ("/v1/completions", LONG),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "Hello!"}], "logit_bias": {"1": -100}, "max_tokens": 900, "n": 2},
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_is_not_written_for(
    engine: OneAtATime, served_text: ModelText, path: str, body: dict[str, Any], stream: bool
) -> None:
    engine.pause = 0.01
    with served(engine, served_text) as url:
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port)) as client:
            content = json.dumps(body | {"stream": stream}).encode()
            client.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\n\r\n".encode()
                + content
            )
            until(lambda: engine.stats().completion_tokens > 2)
            if stream:
                assert client.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: all(ticket.cancelled.is_set() for ticket in engine.tickets))
        until(lambda: engine.stats().running == 0)
        assert engine.stats().completion_tokens < 900


def test_one_who_leaves_the_queue(engine: OneAtATime, served_text: ModelText) -> None:
    engine.gate.clear()
    with served(engine, served_text, keep_alive_seconds=0.05) as url, httpx.Client(base_url=url) as client:
        with (
            client.stream("POST", "/chat", json=LONG | {"stream": True}) as first,
            client.stream("POST", "/chat", json=LONG | {"stream": True}) as second,
        ):
            lines = second.iter_lines()
            assert [next(lines) for _ in range(3)] == [": waiting", "", ": waiting"]
            until(lambda: engine.stats().queued == 1)
            second.close()
            until(lambda: engine.tickets[1].cancelled.is_set())
            assert not engine.tickets[0].cancelled.is_set()
            first.close()
        until(lambda: engine.stats().running == engine.stats().queued == 0)


def test_a_reader_who_stands_still_loses_the_reply(served_text: ModelText) -> None:
    """What waits for a reader is bounded, and the engine is told to stop."""
    cancelled = threading.Event()

    class Ticket:
        def cancel(self) -> None:
            cancelled.set()

    class Fast:
        def submit(self, request: Request, deliver: Any) -> Ticket:
            self.deliver = deliver
            return Ticket()

    async def read() -> tuple[int, bool]:
        engine = Fast()
        running = Submission(engine, [Request((1,), 10_000)], behind_limit=50)  # type: ignore[arg-type]
        for id_ in range(5000):
            engine.deliver(Token(id_))
        await asyncio.sleep(0.05)
        assert cancelled.is_set() and running.overrun
        engine.deliver(Ended("cancelled"))
        count = 0
        while not running.done:
            count += await running.next(1) is not None
            await asyncio.sleep(0)
        return count, running.overrun

    assert asyncio.run(read()) == (51, True)


def test_a_slow_reader_over_a_connection(engine: OneAtATime, served_text: ModelText) -> None:
    app = application(engine, text=served_text, settings=Settings(behind_limit=20))
    with listening(app, send_buffer=4096) as url:
        address = httpx.URL(url)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect((address.host, address.port))
        content = json.dumps(
            {"prompt": "Hello!", "max_tokens": 1000, "logit_bias": {"1": -100}, "stream": True, "n": 8, "logprobs": 20}
        ).encode()
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(content) + content
        )
        until(lambda: len(engine.tickets) == 8 and all(ticket.cancelled.is_set() for ticket in engine.tickets))
        received = b""
        client.settimeout(20)
        while b"[DONE]" not in received:
            received += client.recv(65536)
        client.close()
    assert b"reader_too_slow" in received


def test_tokens_come_one_at_a_time(engine: OneAtATime, served_text: ModelText) -> None:
    with served(engine, served_text) as url, httpx.Client(base_url=url) as client:
        engine.gate.clear()
        with client.stream("POST", "/chat", json={"prompt": "Hello!", "stream": True}) as response:
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            engine.gate.set()
            events = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    *pieces, finish, usage = map(json.loads, events)
    assert all(piece.keys() == {"response"} for piece in pieces) and len(pieces) == usage["usage"]["completion_tokens"]
    assert finish == {"finish_reason": "stop"}


def test_an_error_in_the_middle_is_an_event(engine: OneAtATime, served_text: ModelText) -> None:
    import openai

    engine.pause = 0.01
    with served(engine, served_text) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
        stream = client.completions.create(
            model="youtu-nano", prompt="Hello!", max_tokens=900, logit_bias={"1": -100}, stream=True
        )
        next(stream)
        engine.tickets[0].cancel()  # as an engine does that is closed
        with pytest.raises(openai.APIError, match="about to stop"):
            list(stream)


def test_the_event_loop_serves_others_meanwhile(engine: OneAtATime, served_text: ModelText) -> None:
    engine.gate.clear()
    with (
        served(engine, served_text) as url,
        httpx.Client(base_url=url) as client,
        client.stream("POST", "/chat", json=LONG | {"stream": True}),
    ):
        health = httpx.get(f"{url}/health").json()
        assert (health["status"], health["running"], health["places"]) == ("ok", 1, 1)
        metrics = httpx.get(f"{url}/metrics").text
        assert "youtu_onnx_running 1.0" in metrics
        assert 'youtu_onnx_requests_total{route="/health",status="200"} 1.0' in metrics
