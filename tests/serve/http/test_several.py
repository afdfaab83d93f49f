"""``youtu-onnx serve A B``: several bundles over HTTP, as clients and the page see them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.serve.http.test_command import running
from youtu_onnx.cli import main

SUM: Any = [{"role": "user", "content": "What is 47 + 38?"}]


@pytest.fixture(scope="module")
def other(nano_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundle in another folder."""
    return Path(shutil.copytree(nano_bundle(), tmp_path_factory.mktemp("several") / "other"))


@pytest.fixture(scope="module")
def url(nano_bundle: Callable[..., Path], other: Path) -> Iterator[str]:
    """Of two, of which one at a time has room."""
    options = ("--cache-memory", "64MiB", "--memory", "75MiB", "--threads", "1")
    with running(nano_bundle(), f"second={other}", *options) as (_, url, said):
        assert said[0].startswith("youtu-nano and second at ")
        assert "is loaded, others are when they are asked for" in said[2]
        yield url


def loaded(url: str) -> dict[str, bool]:
    return {one["id"]: one["loaded"] for one in httpx.get(f"{url}/v1/models").json()["data"]}


def test_each_is_listed_and_answers_by_its_name(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
    names = [model.id for model in client.models.list().data]
    assert names == ["youtu-nano", "second"]
    for name in (*names, *names):
        made = client.chat.completions.create(model=name, messages=SUM)
        assert made.model == name and made.choices[0].message.content == "85"
        assert [one for one, there in loaded(url).items() if there] == [name]
    assert client.responses.create(model="second", input="What is 47 + 38?").output_text == "85"
    assert [one["name"] for one in httpx.get(f"{url}/api/ps").json()["models"]] == ["second:latest"]
    assert len(httpx.get(f"{url}/api/tags").json()["models"]) == 2


def test_what_is_known_of_a_model_has_the_memory_that_the_system_counts(nano_bundle: Callable[..., Path]) -> None:
    with running(nano_bundle(), "--threads", "1") as (process, url, _):
        [model] = httpx.get(f"{url}/v1/models").json()["data"]
        status = Path(f"/proc/{process.pid}/status")
        if not status.exists():
            pytest.skip("needs Linux's /proc")
        [kib] = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS:")]
    assert model["details"]["memory_bytes"] == pytest.approx(kib * 1024, rel=0.2)


def test_without_a_name_the_first_answers(url: str) -> None:
    made = httpx.post(f"{url}/v1/chat/completions", json={"messages": SUM}, timeout=60).json()
    assert made["model"] == "youtu-nano"


def test_a_stream_goes_on_while_another_is_wanted(url: str) -> None:
    """The other one waits for its memory, and each has all of its reply."""
    asked: dict[str, Any] = {"prompt": "Hello!", "max_tokens": 60, "logit_bias": {"1": -100}, "stream": True}
    asked |= {"stream_options": {"include_usage": True}}
    begun = threading.Event()

    def stream() -> int:
        with httpx.stream("POST", f"{url}/v1/completions", json=asked | {"model": "youtu-nano"}, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            begun.set()
            *_, usage, done = (line.removeprefix("data: ") for line in lines if line)
            assert done == "[DONE]"
            return int(json.loads(usage)["usage"]["completion_tokens"])

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(stream)
        assert begun.wait(60)
        made = httpx.post(f"{url}/v1/chat/completions", json={"messages": SUM, "model": "second"}, timeout=60).json()
        assert made["choices"][0]["message"]["content"] == "85"
        assert first.result() == 60


def test_the_same_request_gets_the_same_reply_after_it_was_unloaded(url: str) -> None:
    def ask(name: str) -> str:
        fields = {"model": name, "messages": SUM, "temperature": 1.0, "seed": 5, "logprobs": True}
        made = httpx.post(f"{url}/v1/chat/completions", json=fields, timeout=60).json()["choices"][0]
        return f"{made['message']} {made['logprobs']}"

    first = ask("youtu-nano")
    assert ask("second") == first == ask("youtu-nano")


def test_an_unknown_name_is_told_what_there_is(url: str) -> None:
    error = httpx.post(f"{url}/v1/chat/completions", json={"messages": SUM, "model": "third"}).json()["error"]
    assert error["code"] == "model_not_found" and "'youtu-nano', 'second'" in error["message"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "2"], "--workers are for one bundle"),
        (["--model-name", "x"], "--model-name is for one bundle"),
        (["--adapters", "."], "--adapters are of one bundle"),
        (["--memory", "1MiB"], "all bundles together may take"),
        (["--memory", "much"], "--memory is 'much'"),
    ],
)
def test_what_several_can_not_have(
    nano_bundle: Callable[..., Path], other: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["serve", str(nano_bundle()), f"second={other}", "--port", "0", *options]) in (1, 2)
    assert message in capsys.readouterr().err


def test_what_one_alone_has_no_use_for(nano_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--memory", "1GiB"], ["--unload-after", "60"]):
        assert main(["serve", str(nano_bundle()), "--port", "0", *option]) == 2
        assert f"{option[0]} is for several bundles" in capsys.readouterr().err


def test_two_of_one_name_are_refused(nano_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", f"a={nano_bundle()}", f"a={nano_bundle()}", "--port", "0"]) == 2
    assert "two bundles are called 'a'" in capsys.readouterr().err
