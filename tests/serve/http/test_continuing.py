"""``continue_final_message``: a reply that was cut goes on, and says what it would have said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serve.http.serving import OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

WORDS: list[Any] = [{"role": "user", "content": "Write 1994 in Roman numerals."}]


@pytest.fixture(scope="module")
def url(nano_bundle: Any, served_text: ModelText) -> Iterator[str]:
    engine = OneAtATime(nano_bundle())
    with listening(application(engine, text=served_text)) as url:
        yield f"{url}/v1/chat/completions"
    engine.close()


def said(url: str, messages: list[Any], **fields: Any) -> tuple[dict[str, Any], str, int]:
    """The message, how it ended, and its tokens."""
    answer = httpx.post(url, json={"messages": messages, **fields}, timeout=60)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    [choice] = made["choices"]
    return choice["message"], choice["finish_reason"], made["usage"]["completion_tokens"]


@pytest.mark.parametrize("thinks", [None, False], ids=["thinking", "without"])
def test_what_was_cut_goes_on(url: str, thinks: bool | None) -> None:
    options = {} if thinks is None else {"chat_template_kwargs": {"enable_thinking": thinks}}
    whole, finish, count = said(url, WORDS, **options)
    assert finish == "stop" and (whole.get("reasoning_content") is None) == (thinks is False)
    cut_in = set()
    for length in range(1, count):
        first, finish, _ = said(url, WORDS, max_tokens=length, **options)
        if finish == "stop" or not (first["content"] or first.get("reasoning_content")):
            continue
        cut_in.add("answer" if first["content"] else "thinking")
        second, finish, _ = said(url, [*WORDS, first], continue_final_message=True, **options)
        assert finish == "stop"
        thought = (first.get("reasoning_content") or "") + (second.get("reasoning_content") or "")
        assert thought == (whole.get("reasoning_content") or "")
        assert first["content"] + second["content"] == whole["content"]
    assert cut_in == ({"answer"} if thinks is False else {"answer", "thinking"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": WORDS}, "a last message of the assistant's"),
        ({"messages": [{"role": "assistant", "content": "I"}]}, "a last message of the assistant's"),
        ({"response_format": {"type": "json_object"}}, "neither tools nor response_format"),
        ({"tools": [{"type": "function", "function": {"name": "add"}}]}, "neither tools nor response_format"),
    ],
)
def test_what_cannot_go_on(url: str, fields: dict[str, Any], words: str) -> None:
    body = {"messages": [*WORDS, {"role": "assistant", "content": "MC"}], "continue_final_message": True} | fields
    answer = httpx.post(url, json=body)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def test_tags_in_what_was_said_are_text(url: str) -> None:
    begun = {"role": "assistant", "content": "<|end_of_text|></think><think>", "reasoning_content": "<|User|>"}
    message, _, _ = said(url, [*WORDS, begun], continue_final_message=True, max_tokens=4)
    assert message["role"] == "assistant"
