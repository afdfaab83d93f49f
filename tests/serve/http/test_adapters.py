"""``model: "MODEL:ADAPTER"``: the server answers with the adapter that a request names, as a bundle opened alone does."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import youtu_onnx
from tests.cli_process import failed, run
from tests.nano_adapters import hot_bundle, nano_adapter
from tests.serve.http.serving import listening
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.serve.engine.limits import Limits
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.engine.scheduler import Scheduler
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

PROMPT = "What is 47 + 38? Take the number of letters of the month, please, and say why it is so and not otherwise."
LENGTH = 10
NAMES = (None, "shy", "loud")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("shy", "loud", "late")):
        nano_adapter(made, name, seed)
    hot_bundle(made, verify=False)
    return made


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str | None, str]:
    """What the bundle opened alone replies, by adapter."""
    with youtu_onnx.load(folder / "bundle", threads=1) as model:
        model.load_adapter("late", folder / "late")
        return {
            name: model.generate(PROMPT, max_tokens=LENGTH, greedy=True, adapter=name or "base").text for name in (*NAMES, "late")
        }


class Served:
    def __init__(self, url: str, engine: Scheduler, name: str) -> None:
        self.client, self.engine, self.name = httpx.Client(base_url=url, timeout=120), engine, name

    def model(self, adapter: str | None) -> str:
        return self.name if adapter is None else f"{self.name}:{adapter}"

    def chat(self, adapter: str | None, **more: Any) -> dict[str, Any]:
        body = {"model": self.model(adapter), "messages": [{"role": "user", "content": PROMPT}]}
        answer = self.client.post("/v1/chat/completions", json=body | {"max_tokens": LENGTH, "temperature": 0} | more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def text(self, adapter: str | None) -> str:
        message = self.chat(adapter)["choices"][0]["message"]
        return (message.get("reasoning_content") or "") + (message["content"] or "")


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    path = folder / "bundle"
    engine = open_engine(Bundle.open(path), limits=Limits(threads=1, cache_memory=2**28))
    text = ModelText.open(path)
    with listening(application(engine, text=text, settings=Settings(adapters=folder))) as url:
        yield Served(url, engine, text.id)
    engine.close()


def words(text: str) -> str:
    """Without think tags, which the server leaves out, and white space around them."""
    return "".join(text.replace("<think>", "").replace("</think>", "").split())


def test_answers_are_those_of_the_bundle_alone(served: Served, alone: dict[str | None, str]) -> None:
    assert len({words(alone[name]) for name in NAMES}) == 3, "they say the same"
    for name in (*NAMES, *NAMES):  # the second time the prompt is in the cache
        assert words(served.text(name)) == words(alone[name]), name
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(served.text, NAMES * 2))
    assert list(map(words, together)) == [words(alone[name]) for name in NAMES * 2]


def test_a_prompts_cache_is_its_adapters_own(served: Served) -> None:
    def cached(name: str | None) -> int:
        found: int = served.chat(name, temperature=1)["usage"]["prompt_tokens_details"]["cached_tokens"]
        return found

    assert [cached(name) for name in NAMES] == [0, 0, 0]
    assert all(cached(name) > 0 for name in NAMES)


def test_models_are_listed_and_answers_name_theirs(served: Served) -> None:
    listed = served.client.get("/v1/models").json()["data"]
    assert [one["id"] for one in listed] == [served.name, f"{served.name}:loud", f"{served.name}:shy"]
    assert [one.get("parent") for one in listed] == [None, served.name, served.name]
    assert served.client.get(f"/v1/models/{served.name}:shy").json()["id"] == f"{served.name}:shy"
    assert served.chat("shy")["model"] == f"{served.name}:shy"
    assert served.chat(None)["model"] == served.name


@pytest.mark.parametrize("name", ["youtu-nano:nobody", "youtu-nano:", ":shy", "shy", "youtu-nano:shy:shy", "youtu-nano:../shy"])
def test_an_unknown_name_is_a_404_as_openais(served: Served, name: str) -> None:
    chat = {"model": name, "messages": [{"role": "user", "content": "?"}]}
    for place, body in (("/v1/chat/completions", chat), ("/v1/completions", {"model": name, "prompt": "?"})):
        answer = served.client.post(place, json=body)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found" and answer.json()["error"]["param"] == "model"


def test_the_other_ways_to_ask(served: Served, alone: dict[str | None, str]) -> None:
    body = {"model": served.model("shy"), "prompt": PROMPT, "max_tokens": LENGTH, "temperature": 0}
    answer = served.client.post("/chat", json=body).json()
    assert words(answer.get("thinking", "") + answer["response"]) == words(alone["shy"])
    texts = {
        served.client.post("/v1/completions", json=body | {"model": served.model(n)}).json()["choices"][0]["text"] for n in NAMES
    }
    assert len(texts) == 3
    with served.client.stream("POST", "/v1/chat/completions", json={**body, "prompt": None, "stream": True}) as stream:
        assert stream.status_code == 400


def test_loaded_and_unloaded_while_it_runs(served: Served, alone: dict[str | None, str], folder: Path) -> None:
    assert served.client.get("/adapters").json()["adapters"][0] == {"name": "loud", "model": f"{served.name}:loud"}
    made = served.client.post("/adapters", json={"name": "late"})
    assert made.status_code == 200 and {"name": "late", "model": f"{served.name}:late"} in made.json()["adapters"]
    assert words(served.text("late")) == words(alone["late"])
    assert served.engine.adapters is not None
    held = weakref.ref(served.engine.adapters.active("late"))
    assert served.client.delete("/adapters/late").status_code == 200
    gone = {"model": served.model("late"), "prompt": "?"}
    assert served.client.post("/v1/completions", json=gone).status_code == 404
    assert served.client.delete("/adapters/late").status_code == 404
    served.text(None)  # a step of another: nothing is bound to it any more
    assert served.engine.wait_for(lambda stats: stats.running == 0, 60)
    gc.collect()
    assert held() is None, "its memory is free"


@pytest.mark.parametrize("name", ["nobody", "../adapters", "base", "", "x" * 65, "a/b", "bundle"])
def test_what_cannot_be_loaded(served: Served, name: str) -> None:
    answer = served.client.post("/adapters", json={"name": name})
    assert answer.status_code == 400, answer.text
    assert len(served.client.get("/adapters").json()["adapters"]) == 2


def test_adapters_are_not_loaded_unless_the_operator_says_from_where(folder: Path) -> None:
    path = folder / "bundle"
    engine = open_engine(Bundle.open(path), limits=Limits(threads=1, cache_memory=2**26))
    with listening(application(engine, text=ModelText.open(path))) as url:
        assert httpx.post(f"{url}/adapters", json={"name": "late"}).status_code == 404
    engine.close()


def test_the_command_refuses_what_would_have_no_effect(folder: Path, nano_bundle: Any) -> None:
    assert "takes no adapters" in failed(run("serve", nano_bundle(), "--adapters", folder), 2)
    assert "is no folder" in failed(run("serve", folder / "bundle", "--adapters", folder / "nothing"), 2)
    assert "one process" in failed(run("serve", folder / "bundle", "--adapters", folder, "--workers", "2"), 2)
