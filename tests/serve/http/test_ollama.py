"""Ollama's API: as its documentation has it, and through Ollama's own client where it is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serve.http.serving import OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

SUM: Any = [{"role": "user", "content": "What is 47 + 38?"}]
ADD: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "a + b",
        "parameters": {
            "type": "object",
            "properties": {name: {"type": "integer"} for name in "ab"},
            "required": ["a", "b"],
        },
    },
}
NUMBER: Any = {"type": "integer", "minimum": 0, "maximum": 99}
FORM: Any = {"type": "object", "properties": {"n": NUMBER}, "required": ["n"], "additionalProperties": False}


@pytest.fixture(scope="module")
def served(nano_bundle: Any, served_text: ModelText) -> Iterator[tuple[str, OneAtATime]]:
    engine = OneAtATime(nano_bundle())
    with listening(application(engine, text=served_text, settings=Settings(api_keys=("key",)))) as url:
        yield url, engine
    engine.close()


@pytest.fixture(scope="module")
def client(served: tuple[str, OneAtATime]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served[0], headers={"Authorization": "Bearer key"}, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def ollama_client(served: tuple[str, OneAtATime]) -> Any:
    ollama = pytest.importorskip("ollama", reason="Ollama's client is not installed: pip install ollama")
    return ollama.Client(host=served[0], headers={"Authorization": "Bearer key"})


def chat(client: httpx.Client, messages: Any = SUM, **fields: Any) -> dict[str, Any]:
    response = client.post("/api/chat", json={"model": "youtu-nano", "messages": messages, "stream": False} | fields)
    assert response.status_code == 200, response.text
    return response.json()


def lines(client: httpx.Client, path: str, **fields: Any) -> list[dict[str, Any]]:
    with client.stream("POST", path, json={"model": "youtu-nano"} | fields) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in response.iter_lines()]


def test_a_conversation(client: httpx.Client) -> None:
    made = chat(client)
    assert made["message"]["content"] == "85" and made["message"]["thinking"].startswith("47+38")
    assert (made["done"], made["done_reason"], made["model"]) == (True, "stop", "youtu-nano")
    assert made["eval_count"] > 5 and made["prompt_eval_count"] > 5 and made["total_duration"] > 0


def test_lines_come_unless_they_are_switched_off(client: httpx.Client) -> None:
    *said, last = lines(client, "/api/chat", messages=SUM)
    assert len(said) > 5 and not any(one["done"] for one in said)
    assert "".join(one["message"]["content"] for one in (*said, last)) == "85"
    assert "".join(one["message"].get("thinking", "") for one in said) == chat(client)["message"]["thinking"]
    assert last["done"] and last["eval_count"] == chat(client)["eval_count"]


def test_thinking_is_switched(client: httpx.Client, served: tuple[str, OneAtATime]) -> None:
    assert "thinking" not in chat(client, think=False)["message"]
    without = served[1].tickets[-1].request.prompt
    assert "thinking" in chat(client, think="high")["message"]
    assert served[1].tickets[-1].request.prompt != without


def test_a_prompt(client: httpx.Client) -> None:
    made = client.post("/api/generate", json={"model": "youtu-nano:latest", "prompt": SUM[0]["content"], "stream": False}).json()
    assert made["response"] == "85" and made["thinking"] and made["model"] == "youtu-nano:latest"
    assert "".join(one["response"] for one in lines(client, "/api/generate", prompt=SUM[0]["content"])) == "85"


def test_a_raw_prompt_is_continued(client: httpx.Client) -> None:
    options = {"num_predict": 8, "temperature": 0}
    made = client.post(
        "/api/generate", json={"model": "youtu-nano", "prompt": "What is", "raw": True, "stream": False, "options": options}
    ).json()
    plain = client.post("/v1/completions", json={"prompt": "What is", "max_tokens": 8, "temperature": 0}).json()
    assert (made["response"], made["done_reason"]) == (plain["choices"][0]["text"], "length")


def test_options(client: httpx.Client, served: tuple[str, OneAtATime]) -> None:
    options = {
        "temperature": 0.5, "top_k": 3, "top_p": 0.9, "seed": 7, "repeat_penalty": 1.1, "num_predict": 4, "num_ctx": 4096,
        "num_gpu": 1, "min_p": 0.05, "mirostat": 0, "stop": ["x"],
    }  # fmt: skip
    assert chat(client, options=options, keep_alive="5m")["eval_count"] <= 4
    asked = served[1].tickets[-1].request
    chosen = asked.sampling
    assert (chosen.temperature, chosen.top_k, chosen.top_p, chosen.seed) == (0.5, 3, 0.9, 7)
    assert (chosen.repetition_penalty, chosen.min_p, asked.max_tokens) == (1.1, 0.05, 4)
    chat(client, options={"num_predict": -1, "seed": -1})
    asked = served[1].tickets[-1].request
    assert (asked.max_tokens, asked.sampling.seed) == (1024, None)


def test_tools(client: httpx.Client) -> None:
    made = lines(client, "/api/chat", messages=SUM, tools=[ADD], think=False)
    calls = [call for one in made for call in one["message"].get("tool_calls", ())]
    assert made[-1]["done"] and all(isinstance(call["function"]["arguments"], dict) for call in calls)
    assert [call["function"]["name"] for call in calls] == ["add"] * len(calls)
    history = [
        *SUM,
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 47, "b": 38}}}]},
        {"role": "tool", "tool_name": "add", "content": "85"},
    ]
    assert chat(client, history, tools=[ADD], options={"num_predict": 30})["done"]


def test_json(client: httpx.Client) -> None:
    found = json.loads(chat(client, format=FORM)["message"]["content"])
    assert found.keys() == {"n"}
    assert chat(client, format="json", think=False, options={"num_predict": 50})["message"]["content"].startswith("{")


def test_logprobs(client: httpx.Client) -> None:
    made = chat(client, [{"role": "user", "content": "Hello!"}], logprobs=True, top_logprobs=2, think=False)
    assert "".join(one["token"] for one in made["logprobs"]) == made["message"]["content"]
    assert len(made["logprobs"][0]["top_logprobs"]) == 2


def test_models(client: httpx.Client) -> None:
    [model] = client.get("/api/tags").json()["models"]
    assert model["name"] == model["model"] == "youtu-nano:latest" and len(model["digest"]) == 64 and model["size"] > 10_000
    assert model["details"]["quantization_level"] == "int4" and model["details"]["parameter_size"].endswith("M")
    shown = client.post("/api/show", json={"model": "youtu-nano"}).json()
    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    assert shown["model_info"][f"{shown['model_info']['general.architecture']}.context_length"] == 1024
    [loaded] = client.get("/api/ps").json()["models"]
    assert loaded["name"] == "youtu-nano:latest" and loaded["context_length"] == 1024
    assert int(client.get("/api/version").json()["version"].split(".")[1]) >= 6


def test_saying_nothing_loads_the_model(client: httpx.Client) -> None:
    for path, said in (("/api/chat", {"messages": []}), ("/api/generate", {"prompt": ""}), ("/api/generate", {})):
        made = client.post(path, json={"model": "youtu-nano"} | said).json()
        assert made["done"] and made["done_reason"] == "load"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/api/chat", {"messages": SUM, "model": "llama3"}, 404, "youtu-nano"),
        ("/api/show", {"model": "llama3"}, 404, "youtu-nano"),
        ("/api/chat", {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}, 400, "text only"),
        ("/api/chat", {"messages": [{"role": "user", "content": "What? " * 2000}]}, 400, "context"),
        ("/api/chat", {"messages": SUM, "options": {"mirostat": 2}}, 400, "options.mirostat"),
        ("/api/chat", {"messages": SUM, "format": {"type": "wat"}}, 400, "enforced"),
        ("/api/generate", {"prompt": "x", "suffix": "y"}, 400, "suffix"),
        ("/api/generate", {"prompt": "x", "context": [1, 2]}, 400, "context"),
        ("/api/pull", {"name": "llama3"}, 404, "youtu-onnx serve"),
        ("/api/embed", {"input": "x"}, 404, "no embeddings"),
    ],
)
def test_errors_are_texts(client: httpx.Client, path: str, body: Any, status: int, words: str) -> None:
    response = client.post(path, json={"model": "youtu-nano"} | body)
    assert response.status_code == status
    error = response.json()
    assert error.keys() == {"error"} and words in error["error"]


def test_the_key_is_asked_for(served: tuple[str, OneAtATime]) -> None:
    refused = httpx.get(f"{served[0]}/api/tags")
    assert refused.status_code == 401 and isinstance(refused.json()["error"], str)


def test_an_error_in_the_middle_is_a_line(client: httpx.Client, served: tuple[str, OneAtATime]) -> None:
    engine = served[1]
    engine.pause = 0.01
    try:
        asked = {"model": "youtu-nano", "messages": SUM, "options": {"num_predict": 900, "stop": ["\x00"]}}
        with client.stream("POST", "/api/chat", json=asked) as response:
            iterator = response.iter_lines()
            next(iterator)
            engine.tickets[-1].cancel()  # as an engine does that is closed
            last = json.loads([*iterator][-1])
    finally:
        engine.pause = 0.0
    assert last.keys() == {"error"} and "about to stop" in last["error"]


def test_ollamas_client(ollama_client: Any) -> None:
    assert ollama_client.list().models[0].model == "youtu-nano:latest"
    assert ollama_client.show("youtu-nano").capabilities == ["completion", "tools", "thinking"]
    assert ollama_client.ps().models[0].name == "youtu-nano:latest"
    made = ollama_client.chat(model="youtu-nano", messages=SUM)
    assert made.message.content == "85" and made.message.thinking and made.done_reason == "stop"
    streamed = list(ollama_client.chat(model="youtu-nano", messages=SUM, stream=True))
    assert "".join(part.message.content for part in streamed) == "85" and streamed[-1].eval_count == made.eval_count
    assert ollama_client.generate(model="youtu-nano", prompt=SUM[0]["content"]).response == "85"
    assert json.loads(ollama_client.chat(model="youtu-nano", messages=SUM, format=FORM).message.content).keys() == {"n"}


def test_ollamas_client_and_tools(ollama_client: Any) -> None:
    def add(a: int, b: int) -> int:
        """Adds.

        Args:
            a: one
            b: other
        """
        return a + b

    made = ollama_client.chat(model="youtu-nano", messages=SUM, tools=[add])
    for call in made.message.tool_calls or ():
        assert call.function.name == "add" and isinstance(call.function.arguments, dict)
    again = [*SUM, made.message, {"role": "tool", "tool_name": "add", "content": "85"}]
    assert ollama_client.chat(model="youtu-nano", messages=again, tools=[add], options={"num_predict": 20}).done


def test_ollamas_client_raises_its_own_errors(ollama_client: Any) -> None:
    import ollama

    with pytest.raises(ollama.ResponseError, match="this server has 'youtu-nano'") as unknown:
        ollama_client.chat(model="llama3", messages=SUM)
    assert unknown.value.status_code == 404
