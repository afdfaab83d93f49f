"""``serve --prefix-cache``: a long system message is read once, also over restarts, whichever API says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.http.test_command import running
from youtu_onnx.cli import main

SYSTEM = "You answer sums, and nothing else, in as few words as you can. " * 10
FUNCTION = {"name": "add", "description": SYSTEM, "parameters": {"type": "object", "properties": {}}}
TOOL: Any = {"type": "function", "function": FUNCTION}


@pytest.fixture
def serve(nano_bundle: Callable[..., Path], tmp_path: Path) -> Callable[[], Any]:
    """``with serve() as url``: as after a restart."""

    @contextmanager
    def started() -> Iterator[str]:
        with running(nano_bundle(), "--prefix-cache", str(tmp_path), "--threads", "1", "--drain", "0") as (process, url, _):
            yield url
            process.terminate()
            assert process.wait(30) == 0

    return started


def chat(url: str, said: str, **more: Any) -> tuple[str, int]:
    """The answer, and how many tokens of the prompt needn't be computed."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}]
    asked = {"messages": messages, "temperature": 0, "max_tokens": 20} | more
    made = httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=60).json()
    return str(made["choices"][0]["message"]), made["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_over_a_restart(serve: Callable[[], Any], tmp_path: Path) -> None:
    said = "What is 47 + 38? " * 8  # so that what is left of the prompt is worth a chunk of its own
    with serve() as url:
        first, cached = chat(url, said)
        assert cached == 0
    [file] = tmp_path.iterdir()
    with serve() as url:
        again, cached = chat(url, said)
        assert again == first and cached > 64
        asked = {"instructions": SYSTEM, "input": "Hi", "temperature": 1.0, "max_output_tokens": 2}
        responses = httpx.post(f"{url}/v1/responses", json=asked, timeout=60).json()
        assert responses["usage"]["input_tokens_details"]["cached_tokens"] >= cached
    assert list(tmp_path.iterdir()) == [file]


def test_tools_are_part_of_it_and_what_users_say_is_not(serve: Callable[[], Any], tmp_path: Path) -> None:
    with serve() as url:
        fields = {"messages": [{"role": "user", "content": "Hello! " * 40}], "max_tokens": 1}
        assert httpx.post(f"{url}/v1/chat/completions", json=fields, timeout=60).status_code == 200
        assert httpx.post(f"{url}/v1/chat/completions", json=fields | {"tools": [TOOL]}, timeout=60).status_code == 200
    assert len(list(tmp_path.iterdir())) == 1


def test_where_it_has_no_use(nano_bundle: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert main(["serve", str(nano_bundle()), "--port", "0", "--prefix-cache", str(tmp_path / "file")]) == 2
    assert "--prefix-cache" in capsys.readouterr().err
    assert main(["serve", str(nano_bundle()), "--port", "0", "--prefix-cache-size", "much"]) == 2
    assert "--prefix-cache-size is 'much'" in capsys.readouterr().err
