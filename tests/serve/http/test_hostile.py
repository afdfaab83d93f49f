"""Clients that mean no good, against the real server process: others are answered, and afterwards everything is free."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.cli_process import ROOT
from tests.serve.http.hostile_program import FATAL

PLACES, QUEUE, CONNECTIONS = 8, 64, 250
LONG = {"prompt": "Hello!", "max_tokens": 900, "logit_bias": {"1": -100, str(FATAL): -100}}
"""A reply that doesn't end by itself: its end token is ruled out."""
SHORT = {"prompt": "What is 47 + 38?", "max_tokens": 12, "temperature": 0, "logit_bias": {str(FATAL): -100}}

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the server is held and let go by signals")


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def health(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/health", timeout=30).json()

    def taken(self) -> int:
        health = self.health()
        return health["running"] + health["queued"]

    def descriptors(self) -> int:
        return psutil.Process(self.process.pid).num_fds()

    def ask(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/completions", json=body, timeout=60)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The model takes no step."""
        self.process.send_signal(signal.SIGUSR1)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGUSR2)


@contextmanager
def running(bundle: Path, port: int = 0, connections: int = CONNECTIONS) -> Iterator[Server]:
    command = [
        sys.executable,
        "-m",
        "tests.serve.http.hostile_program",
        str(bundle),
        "--port",
        str(port),
        "--places",
        str(PLACES),
        "--max-queue",
        str(QUEUE),
        "--limit-connections",
        str(connections),
        "--cache-memory",
        "64MiB",
        "--threads",
        "1",
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()  # type: ignore[union-attr]
        found = re.search(r"http://127.0.0.1:(\d+)", said)
        assert found, said + process.stderr.read()  # type: ignore[union-attr]
        yield Server(process, int(found[1]))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def started(nano_bundle: Callable[..., Path]) -> Iterator[Server]:
    with running(nano_bundle()) as server:
        assert server.ask(SHORT).status_code == 200
        yield server


@pytest.fixture
def server(started: Server) -> Iterator[Server]:
    """After each test it answers as before, and nothing that the test took is still taken."""
    until(lambda: started.taken() == 0)
    text, before = answer(started), started.descriptors()
    yield started
    until(lambda: started.taken() == 0)
    until(lambda: started.descriptors() <= before)
    assert answer(started) == text
    assert started.process.poll() is None


def answer(server: Server) -> str:
    response = server.ask(SHORT)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["text"]


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def head(content: bytes | None = None, *more: str, path: str = "/v1/completions", method: str = "POST") -> bytes:
    """A request's, and its body if there is one."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *more]
    if content is not None:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + (content or b"")


def post(body: dict[str, Any], path: str = "/v1/completions") -> bytes:
    return head(json.dumps(body).encode(), path=path)


def ended(client: socket.socket) -> bytes:
    """All that still comes until the server closes the connection."""
    said = b""
    try:
        while more := client.recv(65536):
            said += more
    except ConnectionResetError:
        pass
    return said


def test_who_says_nothing_and_who_never_ends(server: Server) -> None:
    """Half-open connections are closed, however little it takes to keep them busy."""
    halves = [b"", b"P", b"POST /v1/completions HTT", head()[:-2], head(b"")[:-4] + b"\r\nX-More: 1"]
    with ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in halves]
        for client, half in zip(silent, halves, strict=True):
            client.sendall(half)
        dripping, following = (stack.enter_context(server.connect()) for _ in range(2))
        following.sendall(head(None, "Content-Length: 1000000", method="GET", path="/health"))  # a body that nobody reads
        dripping.sendall(b"GET /health HTTP/1.1\r\n")
        dead: set[socket.socket] = set()

        def drip() -> bool:
            for client in {dripping, following} - dead:
                try:
                    client.sendall(b"X" if client is following else b"X: y\r\n")
                except OSError:
                    dead.add(client)
            return len(dead) == 2

        until(drip)
        assert server.health()["status"] == "ok"
        assert [ended(client) for client in silent] == [b""] * len(halves)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head(None, "Content-Length: 100") + b'{"prompt"', 408),
        (head(None, "Transfer-Encoding: chunked") + b"1\r\n{\r\n", 408),
        (head(None, "Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n{", 408),
        (head(None, "Transfer-Encoding: chunked") + b"much\r\n{", 400),
        (head(None, "Transfer-Encoding: chunked") + b"1\r\n{{{{{{{{\r\n", 400),
        (
            head(None, "Transfer-Encoding: chunked")
            + b"100000\r\n"
            + b" " * 0x100000
            + b"\r\n100000\r\n"
            + b" " * 0x100000
            + b"\r\n100000\r\n"
            + b" " * 0x100000
            + b"\r\n100000\r\n"
            + b" " * 0x100000
            + b"\r\n1\r\n \r\n",
            413,
        ),
        (head(None, "Content-Length: -1"), 400),
        (head(None, "Content-Length: 1", "Content-Length: 2") + b"{}", 400),
        (head(None, "Content-Length: one"), 400),
        (head(None, "Transfer-Encoding: gzip"), 400),
        (head(b"{}", "X: " + "x" * 400_000), 400),
        (head(b"{}", *(f"X-{n}: y" for n in range(50_000))), 400),
        (b"GET /" + b"a" * 400_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400),
        (b"GET /health HTTP/much\r\n\r\n", 400),
        (head(b'{"prompt": "\xff\xfe"}'), 400),
        (head(b'{"prompt": "\\ud800", "max_tokens": 1}'), 400),
        (head(b'{"prompt": ' + b"[" * 100_000), 400),
        (head(b'{"prompt": ' + b"9" * 100_000 + b"}"), 400),
        (post(SHORT | {"logit_bias": {str(n): 1 for n in range(1025)}}), 400),
        (post(SHORT | {"stop": ["x"] * 5000}), 400),
        (post(SHORT | {"prompt": [5] * 100_000}), 400),
        (post(SHORT | {"prompt": ["a"] * 9}), 400),
        (post({"input": [{"type": "item_reference", "id": "x" * 257}]}, "/v1/responses"), 400),
        (post({"input": [{"role": "user", "content": "x"}] * 10_001}, "/v1/responses"), 400),
        (post({"input": "x", "previous_response_id": "resp_" + "0" * 48}, "/v1/responses"), 400),
        (post({"input": "x", "metadata": {str(n): "x" for n in range(17)}}, "/v1/responses"), 400),
        (post({"input": [{"type": ["message"], "content": [[[]]]}]}, "/v1/responses"), 400),
        (post({"model": "youtu-nano", "messages": [{"role": "user"}] * 10_001}, "/api/chat"), 400),
        (post({"model": "youtu-nano", "prompt": "x", "options": {str(n): 1 for n in range(10_000)}}, "/api/generate"), 400),
        (post({"model": "y" * 501}, "/api/show"), 400),
        (head(None, path="/v1/responses/" + "x" * 10_000, method="GET"), 404),
        (head(None, path="/v1/responses/x/input_items?limit=0&order=up", method="GET"), 400),
    ],
    ids=range(33),
)
def test_what_is_no_request_has_an_error(server: Server, request_: bytes, status: int) -> None:
    with server.connect() as client:
        with suppress(OSError):  # refused before it was all there
            client.sendall(request_)
        said = b""
        while not said.endswith(b"}") and (more := client.recv(65536)):
            said += more
    top, _, body = said.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 %d" % status), top
    error = json.loads(body)["error"]
    assert isinstance(error, str) if b"POST /api/" in request_[:12] else error.keys() == {"message", "type", "param", "code"}


def test_as_many_stops_and_biases_as_there_may_be(server: Server) -> None:
    body = SHORT | {"stop": [chr(0x4E00 + n) * 500 for n in range(4)], "logit_bias": {str(n): -100 for n in range(1024)}, "n": 8}
    assert len(server.ask(body).json()["choices"]) == 8


def test_readers_that_break_off(server: Server) -> None:
    """Some close, some reset the connection, before the answer, in its first bytes, and later."""
    content = post(LONG | {"stream": True})
    for number in range(24):
        with server.connect() as client:
            client.sendall(content)
            if number % 3:
                client.recv(1 if number % 3 == 1 else 4096)
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_one_who_leaves_after_sending_more_requests(server: Server) -> None:
    """A connection is read while an answer is written on it, or else nobody would see that it ends."""
    with server.held():
        with server.connect() as client:
            client.sendall(post(LONG) * 3)
            until(lambda: server.taken() == 1)
        until(lambda: 'route="/v1/completions",status="499"' in httpx.get(f"{server.url}/metrics").text)


def test_remembered_responses_stay_within_bounds(server: Server) -> None:
    """Each is as large as a body may be, by tools that the model doesn't hear of: together more than the server keeps."""
    tool = {"type": "function", "name": "add", "parameters": {"type": "object", "description": "x" * 3_900_000}}
    ask = {"input": "Hi", "tools": [tool], "tool_choice": "none", "max_output_tokens": 1, "logit_bias": {str(FATAL): -100}}
    url = f"{server.url}/v1/responses"
    ids = [httpx.post(url, json=ask, timeout=60).json()["id"] for _ in range(6)]
    statuses = [httpx.get(f"{url}/{id_}", timeout=60).status_code for id_ in ids]
    assert statuses[0] == 404 and statuses[-1] == 200 and statuses == sorted(statuses, reverse=True)


def test_requests_sent_together_are_answered_in_turn(server: Server) -> None:
    requests = (
        head(None, path="/health", method="GET") + post(SHORT) + head(None, "Connection: close", path="/v1/models", method="GET")
    )
    with server.connect() as client:
        client.sendall(requests)
        said = ended(client)
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert said.index(b'"status"') < said.index(b'"text_completion"') < said.index(b'"list"')
    with server.connect() as client, server.held():
        client.sendall(post(SHORT))
        until(lambda: server.taken() == 1)
        with pytest.raises(OSError):  # too many
            for _ in range(100):
                client.sendall(post(SHORT) * 1000)


def test_readers_that_stand_still(server: Server) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(4)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(30)
            client.connect(("127.0.0.1", server.port))
            client.sendall(head(None, path="/openapi.json", method="GET") * 300)
        before = {id(client): 0 for client in clients}

        def gone() -> bool:
            """Each reads a byte now and then, and sends one."""
            for client in clients:
                if id(client) in before:
                    try:
                        before[id(client)] += len(client.recv(1))
                        client.sendall(b"G")
                    except OSError:
                        del before[id(client)]
            time.sleep(0.2)
            return not before

        until(gone)
        assert server.health()["status"] == "ok"


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux's")
def test_what_nobody_reads_is_not_kept_by_the_system_either(server: Server) -> None:
    established = 1
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(head(None, path="/openapi.json", method="GET") * 300)
        until(lambda: client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != established)


def test_idle_connections_make_room_for_others(server: Server) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(CONNECTIONS + 50)]
        assert server.health()["status"] == "ok"
        assert ended(clients[0]) == b""
        assert server.descriptors() < CONNECTIONS + 60


def test_a_server_full_of_connections_that_wait(nano_bundle: Callable[..., Path]) -> None:
    """None is idle: a newcomer hears that there is no room."""
    with running(nano_bundle(), connections=6) as server, ThreadPoolExecutor(6) as pool:

        def ask() -> int:
            """Again while it is refused itself, or shut out before it sent anything: /health, asked below, may be first."""
            while True:
                with suppress(httpx.RemoteProtocolError, httpx.ReadError):
                    if (status := server.ask(SHORT).status_code) != 503:
                        return status
                time.sleep(0.02)

        def refused() -> bool:
            try:
                response = httpx.get(f"{server.url}/health")
            except (httpx.RemoteProtocolError, httpx.ReadError):
                return False
            if response.status_code != 503:
                return False
            assert response.json()["error"]["code"] == "too_many_connections" and response.headers["retry-after"]
            return True

        with server.held():
            waiting = [pool.submit(ask) for _ in range(6)]
            until(refused)
        assert [one.result() for one in waiting] == [200] * 6
        until(lambda: httpx.get(f"{server.url}/health").status_code == 200)


def test_two_hundred_requests_at_once(server: Server) -> None:
    with ThreadPoolExecutor(200) as pool:
        with server.held():
            waiting = [pool.submit(server.ask, SHORT) for _ in range(200)]
            until(lambda: sum(one.done() for one in waiting) == 200 - PLACES - QUEUE)
            assert server.taken() == PLACES + QUEUE
        answers = [one.result() for one in waiting]
    assert Counter(one.status_code for one in answers) == {200: PLACES + QUEUE, 429: 200 - PLACES - QUEUE}
    assert all(int(one.headers["retry-after"]) >= 1 for one in answers if one.status_code == 429)
    assert len({one.json()["choices"][0]["text"] for one in answers if one.status_code == 200}) == 1


def test_one_requests_failure_is_its_own(server: Server) -> None:
    """A provider that fails at the prompt of one and in the midst of another; six others beside them end as they do alone."""
    alone = answer(server)
    fails = [{"prompt": [5, FATAL, 6], "max_tokens": 5}, {"prompt": "Hello!", "max_tokens": 50, "logit_bias": {str(FATAL): 100}}]
    streamed: list[str] = []

    def stream() -> int:
        with httpx.stream("POST", f"{server.url}/v1/completions", json=fails[1] | {"stream": True}, timeout=60) as response:
            streamed.extend(line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: "))
            return response.status_code

    with ThreadPoolExecutor(9) as pool:
        with server.held():
            good = [pool.submit(server.ask, SHORT) for _ in range(5)]
            bad = [pool.submit(server.ask, body) for body in fails]
            stream_status = pool.submit(stream)
            until(lambda: server.taken() == 8)
        for one in bad:
            assert one.result().status_code == 500
            assert one.result().json() == {
                "error": {"message": "a provider's failure", "type": "server_error", "param": None, "code": "engine_error"}
            }
        assert [one.result().json()["choices"][0]["text"] for one in good] == [alone] * 5
        assert stream_status.result() == 200
    token, error, done = streamed
    assert json.loads(token)["choices"] and json.loads(error)["error"]["code"] == "engine_error" and done == "[DONE]"


def test_a_killed_server_leaves_nothing_behind(nano_bundle: Callable[..., Path]) -> None:
    """kill -9 in the midst of replies: another takes its port at once and answers the same from the same files."""
    bundle = nano_bundle()
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    with running(bundle) as first:
        text = answer(first)
        with ExitStack() as stack:
            clients = [stack.enter_context(first.connect()) for _ in range(4)]
            for client in clients:
                client.sendall(post(LONG | {"stream": True}))
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
            first.process.kill()
            first.process.wait()
            for client in clients:
                assert b"[DONE]" not in ended(client)
            with running(bundle, first.port) as second:
                assert answer(second) == text
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
