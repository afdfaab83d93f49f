"""The command: what it says, what it refuses, and how it stops."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli_process import ROOT
from youtu_onnx.cli import main

LONG = {"prompt": "Hello!", "max_tokens": 900, "logit_bias": {"1": -100}, "stream": True}


@contextmanager
def running(bundle: Path, *options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """The program, its URL, and what it said first."""
    command = [sys.executable, "-m", "tests.serve.http.serve_program", str(bundle), "--port", "0", *options]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True)
    try:
        said = [process.stderr.readline()]  # type: ignore[union-attr]
        found = re.search(r"http://\S+?:\d+", said[0])
        assert found, said[0] + process.stderr.read()  # type: ignore[union-attr]
        said += [process.stderr.readline(), process.stderr.readline()]  # type: ignore[union-attr]
        yield process, found[0], said
    finally:
        process.kill()
        process.wait()


def test_it_says_where_it_listens_and_ends_well(nano_bundle: Callable[..., Path]) -> None:
    with running(nano_bundle(), "--drain", "0.2", YOUTU_ONNX_API_KEY="k") as (process, url, said):
        assert said[0].startswith("youtu-nano at http://127.0.0.1:")
        assert "a page to chat on" in said[0] and f"{url}/v1, described at {url}/docs" in said[1]
        assert "8 replies at once" in said[2]
        assert httpx.get(f"{url}/v1/models").status_code == 401
        headers = {"Authorization": "Bearer k"}
        with httpx.stream("POST", f"{url}/chat", json=LONG, headers=headers) as response:
            lines = response.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            rest = list(lines)  # cancelled when the drain is over
        assert rest[-2] == "data: [DONE]" and "about to stop" in "".join(rest[-5:])
        assert process.wait(20) == 0


def test_replies_may_end_while_it_drains(nano_bundle: Callable[..., Path]) -> None:
    with running(nano_bundle()) as (process, url, _):
        with httpx.stream("POST", f"{url}/chat", json=LONG | {"max_tokens": 100}) as response:
            lines = response.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            while True:
                health = httpx.get(f"{url}/health")
                if health.status_code == 503:
                    break
                time.sleep(0.005)
            refused = httpx.post(f"{url}/chat", json={"prompt": "Hello!"})
            assert refused.status_code == 503 and refused.headers["retry-after"]
            assert '"finish_reason":"length"' in "".join(lines)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--body-limit", "much"], "--body-limit is 'much'"),
        (["--api-key", " "], "an API key is empty"),
        (["--host", "0.0.0.0", "--allow-host", "a"], "--allow-host has no use"),
        (["--host", "not an address"], "no address"),
        (["--cache-memory", "-1"], "--cache-memory"),
    ],
)
def test_nonsense_is_refused(
    nano_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["serve", str(nano_bundle()), "--port", "0", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken(nano_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["serve", str(nano_bundle()), "--port", str(other.getsockname()[1])]) == 1
    assert "choose another --port" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith(("youtu_onnx.serve.", "youtu_onnx.text.constraint."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llguidance", None)  # type: ignore[arg-type]
    assert main(["serve", "anywhere"]) == 1
    error = capsys.readouterr().err
    assert "llguidance" in error and 'pip install "youtu-onnx[serve]"' in error


def test_it_opens_the_page_and_logs_requests(nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    """The browser here is a program that asks for the page and leaves."""
    browser = tmp_path / "browser.py"
    browser.write_text("import sys, httpx\nhttpx.get(sys.argv[1], headers={'User-Agent': 'browser'})\n", encoding="utf-8")
    command = f"{sys.executable} {browser} %s"
    with running(nano_bundle(), "--open", "--log-requests", BROWSER=command) as (process, _, _):
        said = process.stderr.readline()  # type: ignore[union-attr]
    assert re.search(r"127\.0\.0\.1 GET / 200 \d+\.\d\d s\n", said)


def test_it_warns_where_others_reach_it(nano_bundle: Callable[..., Path]) -> None:
    with running(nano_bundle(), "--host", "0.0.0.0") as (process, _, _):
        said: Any = process.stderr.readline()  # type: ignore[union-attr]
        assert "reached from other machines" in said and "--api-key" in said
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
