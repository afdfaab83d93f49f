"""Signs of life before the first token, for clients that ask for them, and nothing else for those that don't."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.serve.http.serving import listening
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.serve.engine.limits import Limits
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

LONG: Any = {"messages": [{"role": "user", "content": "What is 4 + 3? " * 50}], "max_tokens": 2, "temperature": 0}


@pytest.fixture(scope="module")
def url(nano_bundle: Any, served_text: ModelText) -> Iterator[str]:
    engine = open_engine(Bundle.open(nano_bundle()), provider="cpu", limits=Limits(threads=1, places=1, cache_memory=1 << 26))
    with listening(application(engine, text=served_text)) as url:
        yield url
    engine.close()


def chunks(url: str, path: str, **body: Any) -> list[dict[str, Any]]:
    with httpx.stream("POST", f"{url}{path}", json=body, timeout=60) as response:
        assert response.status_code == 200
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_long_prompt_is_told(url: str) -> None:
    made = chunks(url, "/v1/chat/completions", stream=True, return_progress=True, **LONG)
    told = [one["prompt_progress"] for one in made if "prompt_progress" in one]
    assert all(one["choices"] == [] and one["object"] == "chat.completion.chunk" for one in made if "prompt_progress" in one)
    assert all(one.keys() == {"total", "cache", "processed", "time_ms"} for one in told)
    assert len({one["total"] for one in told}) == 1
    processed = [one["processed"] for one in told]
    assert processed == sorted(set(processed)) and len(processed) > 2 and processed[-1] == told[0]["total"]
    first = next(
        place for place, one in enumerate(made) if one["choices"] and one["choices"][0]["delta"].keys() != {"role", "content"}
    )
    assert all("prompt_progress" not in one for one in made[first:])


def test_plain_completions_too(url: str) -> None:
    made = chunks(url, "/v1/completions", stream=True, return_progress=True, prompt="Once upon a time " * 20, max_tokens=1)
    told = [one for one in made if "prompt_progress" in one]
    assert told and all(one["choices"] == [] and one["object"] == "text_completion" for one in told)


def test_without_asking_there_is_nothing_of_it(url: str) -> None:
    for more in ({}, {"return_progress": False}):
        made = chunks(url, "/v1/chat/completions", stream=True, **more, **LONG)
        assert all(one["choices"] and not {"prompt_progress", "queue"} & one.keys() for one in made)


def test_openais_client_passes_over_it(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
    asked: Any = {"model": "youtu-nano", "messages": [{"role": "user", "content": "What is 47 + 38?"}]}
    with client.chat.completions.stream(**asked, extra_body={"return_progress": True}) as stream:
        assert stream.get_final_completion().choices[0].message.content == "85"
    chunks = client.chat.completions.create(**asked, stream=True, extra_body={"return_progress": True})
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "85"


def test_a_place_in_the_queue_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own, going = BatchModel.step, threading.Event()

    def step(self: BatchModel, *arguments: Any, **options: Any) -> Any:
        assert going.wait(60)
        return own(self, *arguments, **options)

    monkeypatch.setattr(BatchModel, "step", step)
    asked = {"prompt": "Once upon a time", "max_tokens": 3, "stream": True}
    with httpx.stream("POST", f"{url}/v1/completions", json=asked, timeout=60) as first:
        assert first.status_code == 200
        with httpx.stream("POST", f"{url}/v1/completions", json=asked | {"return_progress": True}, timeout=60) as second:
            going.set()
            events = [json.loads(line[6:]) for line in second.iter_lines() if line.startswith("data: {")]
    positions = [one["queue"] for one in events if "queue" in one]
    assert positions == [{"position": 1}]
    assert all(one["choices"] == [] for one in events if "queue" in one)


def test_progress_of_what_is_no_stream_is_refused(url: str) -> None:
    error = httpx.post(f"{url}/v1/chat/completions", json=LONG | {"return_progress": True}).json()["error"]
    assert "stream: true" in error["message"]


def test_what_does_not_fit_has_a_code(url: str) -> None:
    for stream in (False, True):
        refused = httpx.post(
            f"{url}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "What? " * 2000}], "stream": stream},
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
