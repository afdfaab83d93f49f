"""``POST /explain``: on servers of bundles whose steps are known, bounded, whatever is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.explain.conftest import bundles, checkpoint  # noqa: F401 (fixtures)
from tests.problems.test_bounds import HOSTILE
from tests.serve.http.serving import OneAtATime
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.explain.steps import Asked
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.serve.http import answers, explain_route
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.bundles import bundles_of
from youtu_onnx.serve.http.explain_route import explainer_of
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

Bundles = Callable[[str], Path]
SOLVED = Asked.fresh("gcd", 2, 1, "en").problem
SETTINGS = Settings(hosts=None, explain_characters=3000, explain_tokens=400, explain_queue=1)


def body(thinking: str = SOLVED.thought, answer: str = str(SOLVED.answer), **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": SOLVED.prompt}], "thinking": thinking, "answer": answer, **more}


@pytest.fixture(scope="module")
def client(bundles: Bundles) -> Iterator[TestClient]:  # noqa: F811
    folder = bundles("routed")
    text, engine = ModelText.open(folder, name="micro"), OneAtATime(folder)
    explainer = explainer_of(Bundle.open(folder), text, ProviderChoice())
    assert explainer is not None
    yield TestClient(application(engine, text=text, settings=SETTINGS, explainer=explainer), raise_server_exceptions=False)
    engine.close()


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    message: str = answer.json()["error"]["message"]
    return message


def test_a_reply_is_explained(client: TestClient) -> None:
    found = client.post("/explain", json=body(model="micro")).json()
    assert found.keys() == {"steps", "tokens", "kept"}
    answers.Explained.model_validate(found, strict=True)
    assert found["steps"]["family"] == "gcd" and found["steps"]["sound"] == 1.0
    assert [line["text"] for line in found["steps"]["lines"]] == SOLVED.thought.split("\n")
    assert {len(layer) for layer in found["kept"]["open"]} == {len(found["tokens"])}
    assert found["kept"]["rows"] < found["kept"]["dense_rows"] and found["kept"]["pairs"] < found["kept"]["dense_pairs"]
    lines = [*SOLVED.thought.split("\n")[:-1], "1/1=1r7"]
    tampered = client.post("/explain", json=body("\n".join(lines), "1")).json()["steps"]
    assert [line["valid"] for line in tampered["lines"]] == [True] * (len(lines) - 1) + [False]
    assert tampered["answer"] == {"text": "1", "valid": False}
    assert client.post("/explain", json=body("Hm.", "4")).json()["steps"]["lines"] == [{"text": "Hm.", "valid": None}]


def test_models_say_whether_they_are_explained(client: TestClient) -> None:
    assert client.get("/v1/models").json()["data"][0]["steps"] is True
    assert "/explain" in client.get("/openapi.json").json()["paths"]


def test_youtu_bundles_have_no_such_route(nano_bundle: Callable[..., Path], engine: OneAtATime) -> None:
    text = ModelText.open(nano_bundle(), name="nano")
    explainer = explainer_of(Bundle.open(nano_bundle()), text, ProviderChoice())
    client = TestClient(application(engine, text=text, settings=SETTINGS, explainer=explainer))
    assert explainer is None and "steps" not in client.get("/v1/models").json()["data"][0]
    assert client.post("/explain", json=body()).status_code == 404


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_answered_or_refused(client: TestClient, name: str) -> None:
    answer = client.post("/explain", json=body(HOSTILE[name]))
    assert answer.status_code in (200, 400, 413), answer.text
    if answer.status_code == 200:
        assert not answer.json()["steps"]["answer"]["valid"]


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (body("x" * 3000), 413, "longer than 3,000 characters"),
        (body("1+1=2\n" * 300), 400, "at most 400 are explained"),
        (body() | {"messages": []}, 400, "messages"),
        (body() | {"answer": 7}, 400, "answer"),
        (body(model="other"), 404, "no model"),
        (body(more=1), 400, "not a field"),
    ],
)
def test_what_can_t_be_explained_is_refused(client: TestClient, sent: dict[str, Any], status: int, said: str) -> None:
    assert said in refused(client.post("/explain", json=sent), status)


def test_few_wait_and_others_are_told_to_come_later(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun, explained = threading.Event(), threading.Event(), explain_route._explained

    def standing(*arguments: Any) -> Any:
        begun.set()
        assert gate.wait(60)
        return explained(*arguments)

    monkeypatch.setattr(explain_route, "_explained", standing)

    async def several() -> list[httpx.Response]:
        transport = httpx.ASGITransport(client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
            taken = [asyncio.create_task(asking.post("/explain", json=body())) for _ in range(2)]
            while not begun.is_set():  # noqa: ASYNC110 (set by a thread)
                await asyncio.sleep(0.01)
            third = await asking.post("/explain", json=body())
            healthy = await asking.get("/health")  # nothing else waits for them
            gate.set()
            return [third, healthy, *(await asyncio.gather(*taken))]

    third, healthy, *others = asyncio.run(several())
    assert "wait to be explained" in refused(third, 429) and third.headers["retry-after"] == "1"
    assert healthy.status_code == 200 and [one.status_code for one in others] == [200, 200]


def test_a_server_that_is_about_to_stop_explains_nothing_more(client: TestClient) -> None:
    service = bundles_of(client.app).gate  # type: ignore[arg-type]
    service.draining = True
    try:
        refused(client.post("/explain", json=body()), 503)
    finally:
        service.draining = False
