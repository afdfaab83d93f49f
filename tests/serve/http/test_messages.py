"""What clients send back in a conversation: what says nothing to the model changes nothing, what it can't read is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.serve.http.serving import OneAtATime
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

USER = {"role": "user", "content": "4 + 3?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 4, "b": 3}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "7"}
ANSWER = {"role": "assistant", "content": "It is 7."}
Prompt = Callable[[list[Any]], str]


@pytest.fixture(scope="module")
def client(nano_bundle: Any, served_text: ModelText) -> Iterator[tuple[TestClient, OneAtATime]]:
    engine = OneAtATime(nano_bundle())
    yield TestClient(application(engine, text=served_text), base_url="http://127.0.0.1"), engine
    engine.close()


@pytest.fixture
def prompt(client: tuple[TestClient, OneAtATime], served_text: ModelText) -> Prompt:
    """``prompt(messages)`` → what the model reads."""

    def prompt(messages: list[Any]) -> str:
        response = client[0].post("/v1/chat/completions", json={"messages": messages, "max_tokens": 1})
        assert response.status_code == 200, response.text
        return served_text.tokenizer.decode(client[1].tickets[-1].request.prompt)

    return prompt


@pytest.fixture
def refused(client: tuple[TestClient, OneAtATime]) -> Callable[[list[Any]], str]:
    """``refused(messages)`` → why."""

    def refused(messages: list[Any]) -> str:
        response = client[0].post("/v1/chat/completions", json={"messages": messages, "max_tokens": 1})
        assert response.status_code == 400, response.text
        message: str = response.json()["error"]["message"]
        return message

    return refused


@pytest.mark.parametrize(
    "more",
    [
        {"refusal": None, "annotations": [], "audio": None, "function_call": None},
        {"parsed": {"a": 4, "b": 3}, "reasoning_content": None},
        {"provider_specific_fields": {"refusal": None}, "images": [], "thinking_blocks": None},
        {"name": None, "tool_call_id": None, "cache_control": {"type": "ephemeral"}, "weight": 1, "id": "msg_1", "files": None},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example"}}], "citations": ["x"]},
    ],
)
def test_what_says_nothing_of_an_assistants_message(prompt: Prompt, more: dict[str, Any]) -> None:
    assert prompt([USER, CALLED | more, RESULT]) == prompt([USER, CALLED, RESULT])
    assert prompt([USER, ANSWER | more | {"tool_calls": []}, USER]) == prompt([USER, ANSWER, USER])


@pytest.mark.parametrize(
    "call",
    [
        CALL | {"index": 0},
        {name: value for name, value in CALL.items() if name != "type"} | {"type": None},
        CALL | {"function": CALL["function"] | {"parsed_arguments": {"a": 4, "b": 3}, "output": None}},  # type: ignore[operator]
        CALL | {"extra_content": {"signature": "x"}, "provider_specific_fields": None},
        CALL | {"function": {"name": "add", "arguments": {"a": 4, "b": 3}}},
    ],
)
def test_calls_as_clients_put_them_together(prompt: Prompt, call: dict[str, Any]) -> None:
    assert prompt([USER, CALLED | {"tool_calls": [call]}, RESULT]) == prompt([USER, CALLED, RESULT])


@pytest.mark.parametrize("arguments", ["", " ", "{}", None, {}])
def test_a_call_without_arguments(prompt: Prompt, arguments: Any) -> None:
    call = CALL | {"function": {"name": "now", "arguments": arguments}}
    assert '{"name": "now", "arguments": {}}' in prompt([USER, CALLED | {"tool_calls": [call]}, RESULT])


def test_the_form_that_tools_replaced(prompt: Prompt) -> None:
    old = [
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
        {"role": "function", "name": "add", "content": "7"},
    ]
    assert prompt([USER, *old]) == prompt([USER, CALLED, RESULT])


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thinking_under_each_of_its_names(prompt: Prompt, name: str) -> None:
    assert "<think>\nso be it\n</think>" in prompt([USER, CALLED | {name: "so be it"}, RESULT])
    assert prompt([USER, ANSWER | {name: "so be it"}, USER]) == prompt(
        [USER, ANSWER, USER]
    )  # it is kept after the last question alone


def test_of_two_names_of_thinking_the_first_counts(prompt: Prompt) -> None:
    both = {
        "reasoning": "other",
        "reasoning_content": "so be it",
        "reasoning_details": [{"type": "reasoning.text", "text": "other"}],
    }
    assert prompt([USER, CALLED | both, RESULT]) == prompt([USER, CALLED | {"reasoning_content": "so be it"}, RESULT])
    assert prompt([USER, CALLED | {"reasoning": {"effort": "low"}}, RESULT]) == prompt([USER, CALLED, RESULT])


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_content_as_text_and_as_parts(prompt: Prompt, role: str) -> None:
    def conversation(content: Any) -> list[Any]:
        message = {"role": role, "content": content} | ({"tool_call_id": "call_1"} if role == "tool" else {})
        return {
            "system": [message, USER],
            "developer": [message, USER],
            "user": [message],
            "assistant": [USER, message, USER],
            "tool": [USER, CALLED, message],
        }[role]

    whole = prompt(conversation("one two"))
    for parts in (
        [{"type": "text", "text": "one two"}],
        [
            {"type": "text", "text": "one "},
            {"type": "text", "text": "two", "annotations": [], "cache_control": {"type": "ephemeral"}},
        ],
        [{"type": "input_text", "text": "one "}, {"type": "output_text", "text": "two", "logprobs": []}],
    ):
        assert prompt(conversation(parts)) == whole
    empty = prompt(conversation(""))
    assert prompt(conversation([])) == empty
    if role in ("assistant", "tool"):  # a tool that gave nothing, a reply that was none
        assert prompt(conversation(None)) == empty


@pytest.mark.parametrize(
    ("type_", "what"),
    [
        ("image_url", "an image"),
        ("input_image", "an image"),
        ("input_audio", "sound"),
        ("video_url", "a video"),
        ("file", "a file"),
        ("tool_use", "of type 'tool_use'"),
    ],
)
@pytest.mark.parametrize("role", ["user", "tool"])
def test_parts_that_are_no_text(refused: Callable[[list[Any]], str], role: str, type_: str, what: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": type_, type_: {"url": "data:image/png;base64,AAAA"}}]
    last = {"role": role, "content": parts} | ({"tool_call_id": "call_1"} if role == "tool" else {})
    message = refused([USER, CALLED, last])
    assert message.startswith("messages.2.content.1: the model reads text only") and what in message


@pytest.mark.parametrize(
    ("member", "value"),
    [("audio", {"id": "audio_1"}), ("images", ["AAAA"]), ("files", [{"id": "f"}]), ("prefix", True), ("partial", True)],
)
def test_members_that_would_change_the_answer(refused: Callable[[list[Any]], str], member: str, value: Any) -> None:
    assert refused([USER, ANSWER | {member: value}]).startswith(f"messages.1: {member} of a message is not supported")


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([{"role": "user", "content": None}], "messages.0: content is missing"),
        ([{"role": "user", "contents": "x"}], "messages.0: content is missing"),
        ([USER, {"role": "assistant"}, USER], "messages.1: content is missing"),
        ([USER | {"tool_calls": [CALL]}], "messages.0: tool_calls, reasoning_content and refusal belong to assistant messages"),
        ([USER, CALLED, {"role": "tool", "content": "7"}], "messages.2: a tool message needs tool_call_id"),
        ([{"role": "user", "content": 5}], "messages.0.content: Input should be text or a list"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content.0: text is missing"),
    ],
)
def test_what_is_no_message(refused: Callable[[list[Any]], str], messages: list[Any], why: str) -> None:
    assert refused(messages) == why
