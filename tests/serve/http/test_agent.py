"""What agent programs send: several turns with tools, strict schemas, parts, a developer's message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.serve.http.serving import ADD, OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

TOOLS: Any = [
    {"type": "function", "function": ADD},
    {
        "type": "function",
        "function": {
            "name": "colour",
            "parameters": {
                "$defs": {"colour": {"enum": ["red", "蓝"]}},
                "type": "object",
                "properties": {"colour": {"$ref": "#/$defs/colour"}},
                "required": ["colour"],
                "additionalProperties": False,
                "$schema": "https://json-schema.org/draft/2020-12/schema",
            },
        },
    },
]


@pytest.fixture
def client(engine: OneAtATime, served_text: ModelText) -> Iterator[openai.OpenAI]:
    with listening(application(engine, text=served_text)) as url:
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)


def test_a_conversation_with_tools(client: openai.OpenAI, engine: OneAtATime, served_text: ModelText) -> None:
    messages: list[Any] = [
        {"role": "developer", "content": [{"type": "text", "text": "You add "}, {"type": "text", "text": "numbers."}]},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "What is 47 + 38?"}]},
    ]
    for turn in range(2):
        made = client.chat.completions.create(
            model="youtu-nano",
            messages=messages,
            tools=TOOLS,
            tool_choice="required",
            parallel_tool_calls=False,
            temperature=0.7,
            seed=turn,
            max_tokens=150,
        )
        message = made.choices[0].message
        [call] = message.tool_calls or []
        arguments = json.loads(call.function.arguments)
        assert call.function.name in ("add", "colour")
        assert arguments.keys() == ({"a", "b"} if call.function.name == "add" else {"colour"})
        messages.append(message.model_dump())  # nulls, annotations and all, as programs do
        messages.append({"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "85"}]})
    final = client.chat.completions.create(model="youtu-nano", messages=messages, tools=TOOLS, tool_choice="auto", max_tokens=20)
    assert final.choices[0].finish_reason in ("stop", "length", "tool_calls")
    prompt = served_text.tokenizer.decode(engine.tickets[-1].request.prompt)
    assert prompt.startswith("<|begin_of_text|>You add numbers.\n\nYou can call these tools:")
    assert prompt.count('<tool_call>\n{"name": "') == 2 and prompt.count("<tool_response>\n85\n</tool_response>") == 2
    assert '"strict"' not in prompt and prompt.endswith("<|Assistant|>")
    assert ((final.usage and final.usage.prompt_tokens_details and final.usage.prompt_tokens_details.cached_tokens) or 0) > 100


def test_what_was_called_goes_back_as_it_came(client: openai.OpenAI, engine: OneAtATime, served_text: ModelText) -> None:
    """Arguments are written as the template writes them, and what is no JSON stays what it is."""
    for arguments, shown in (('{"a":1,  "b":"é"}', '{"a": 1, "b": "é"}'), ("oops {", "oops {")):
        client.chat.completions.create(
            model="youtu-nano",
            max_tokens=1,
            messages=[
                {"role": "user", "content": "x"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": arguments}}],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "y"},
            ],
        )
        assert f'"arguments": {shown}}}\n</tool_call>' in served_text.tokenizer.decode(engine.tickets[-1].request.prompt)


def test_two_calls_in_a_stream(client: openai.OpenAI) -> None:
    """The model is made to call twice by a bias towards the token that begins a call."""
    stream = client.chat.completions.create(
        model="youtu-nano",
        messages=[{"role": "user", "content": "Hello!"}],
        tools=TOOLS,
        tool_choice="required",
        logit_bias={"1": -100, "1276": 20},
        max_tokens=120,
        stream=True,
    )
    calls: list[list[str]] = []
    for chunk in stream:
        for delta in chunk.choices[0].delta.tool_calls or []:
            assert delta.function and (delta.id is None) == (delta.function.name is None)
            if delta.id is not None:
                assert delta.index == len(calls) and delta.type == "function"
                calls.append([delta.id, ""])
            calls[delta.index][1] += delta.function.arguments or ""
    assert len(calls) > 1 and len({id_ for id_, _ in calls}) == len(calls)
    for _, arguments in calls[:-1]:  # the last one may be cut off
        json.loads(arguments)
    assert chunk.choices[0].finish_reason == "length"


def test_earlier_thinking_may_be_sent_back(client: openai.OpenAI, engine: OneAtATime, served_text: ModelText) -> None:
    client.chat.completions.create(
        model="youtu-nano",
        max_tokens=1,
        messages=[  # type: ignore[list-item]
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "so be it",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "y"},
        ],
    )
    assert "<think>\nso be it\n</think>" in served_text.tokenizer.decode(engine.tickets[-1].request.prompt)


def test_a_strict_tool_that_cannot_be_enforced_is_refused_and_another_is_not(client: openai.OpenAI) -> None:
    def call(strict: bool) -> Any:
        function = {"name": "f", "strict": strict, "parameters": {"type": "object", "propertyNames": {"pattern": "^a"}}}
        return client.chat.completions.create(
            model="youtu-nano",
            messages=[{"role": "user", "content": "x"}],
            max_tokens=2,
            tools=[{"type": "function", "function": function}],
        )  # type: ignore[list-item]

    with pytest.raises(openai.BadRequestError, match="propertyNames"):
        call(True)
    assert call(False).choices
