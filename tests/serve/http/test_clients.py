"""Clients as people use them, unmodified: each calls a tool, sends back what it made of that, and is answered.

OpenAI's in Python always; the others where the variable YOUTU_ONNX_CLIENTS names the folder that clients/installing.py makes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.http.clients import programs
from tests.serve.http.clients.installing import VARIABLE
from tests.serve.http.serving import OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

ENDED = ("stop", "length", "tool_calls")
VERCEL_ENDED = ("stop", "length", "tool-calls")


@pytest.fixture(scope="module")
def run(nano_bundle: Callable[..., Path], served_text: ModelText) -> Iterator[Callable[[str], dict[str, Any]]]:
    """``run(program)`` → what it says."""
    engine = OneAtATime(nano_bundle())
    folder = os.environ.get(VARIABLE)

    with listening(application(engine, text=served_text)) as url:

        def run(name: str) -> dict[str, Any]:
            if folder is None and name != programs.ALWAYS:
                pytest.skip(f"needs {VARIABLE}: see tests/serve/http/clients/installing.py")
            return programs.run(name, url, None if folder is None else Path(folder))

        yield run
    engine.close()


def is_sum(numbers: dict[str, int]) -> bool:
    return numbers.keys() == {"a", "b"} and all(0 <= number <= 9 for number in numbers.values())


def test_openai_python(run: Callable[[str], dict[str, Any]]) -> None:
    found = run("openai_python.py")
    assert len(found) == 7
    for name, one in found.items():
        assert all(map(is_sum, one["calls"])) and one["then"] in ENDED
        if name != "text":
            assert is_sum(one["parsed"]) if "form" in name else one["calls"] or one["parsed"]


def test_openai_javascript(run: Callable[[str], dict[str, Any]]) -> None:
    found = run("openai_javascript.mjs")
    for name in ("runTools", "runTools stream"):
        assert found[name]["roles"] == ["user", "assistant", "tool", "assistant", "tool"]
        assert len(found[name]["calls"]) == 2 and all(map(is_sum, found[name]["calls"]))
    for name in ("parse with tools", "stream with tools"):
        assert found[name]["calls"] and all(map(is_sum, found[name]["calls"])) and found[name]["then"] in ENDED
    assert is_sum(found["parse with a form"]["parsed"])


def test_langchain(run: Callable[[str], dict[str, Any]]) -> None:
    found = run("langchain_loop.py")
    for name in ("invoke", "stream"):
        assert found[name]["calls"] and all(map(is_sum, found[name]["calls"])) and found[name]["then"] in ENDED
        assert found[name]["tokens"] > 10
    assert is_sum(found["json_schema"]) and is_sum(found["function_calling"])


def test_litellm(run: Callable[[str], dict[str, Any]]) -> None:
    for one in run("litellm_loop.py").values():
        assert one["calls"] and all(map(is_sum, one["calls"])) and one["then"] in ENDED


def test_pydantic_ai(run: Callable[[str], dict[str, Any]]) -> None:
    for one in run("pydantic_ai_loop.py").values():
        assert len(one["calls"]) == 1 and 0 <= one["number"] <= 18 and one["requests"] >= 2


def test_vercel_ai(run: Callable[[str], dict[str, Any]]) -> None:
    found = run("vercel_ai.mjs")
    providers = ("openai", "responses", "compatible")
    for name in [f"{one}{how}" for one in providers for how in ("", " stream")]:
        assert len(found[name]["calls"]) >= 1 and all(map(is_sum, found[name]["calls"]))
        first, last = found[name]["finishes"]
        assert first == "tool-calls" and last in VERCEL_ENDED
    assert all(is_sum(found[f"{one} object"]) for one in providers)
