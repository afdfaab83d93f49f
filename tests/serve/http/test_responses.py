"""OpenAI's Responses, through OpenAI's own client, unmodified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel, Field

from tests.serve.http.serving import ADD, OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

SUM = "What is 47 + 38?"
ADD_TOOL: Any = {"type": "function", **ADD}
NO_THINKING: Any = {"reasoning": {"effort": "none"}}


class Answer(BaseModel):
    number: int = Field(ge=0, le=99)
    sign: Literal["plus", "minus"]


@pytest.fixture(scope="module")
def served(nano_bundle: Any, served_text: ModelText) -> Iterator[tuple[str, OneAtATime]]:
    engine = OneAtATime(nano_bundle())
    with listening(application(engine, text=served_text)) as url:
        yield url, engine
    engine.close()


@pytest.fixture(scope="module")
def client(served: tuple[str, OneAtATime]) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served[0]}/v1", api_key="-", max_retries=0)


def ask(client: openai.OpenAI, input_: Any = SUM, **fields: Any) -> Any:
    return client.responses.create(model="youtu-nano", input=input_, **fields)


def prompt(served: tuple[str, OneAtATime]) -> tuple[int, ...]:
    return served[1].tickets[-1].request.prompt


def test_a_text(client: openai.OpenAI) -> None:
    made = ask(client)
    Response.model_validate(made.model_dump())
    assert (made.output_text, made.status, made.error, made.incomplete_details) == ("85", "completed", None, None)
    thought, said = made.output
    assert thought.type == "reasoning" and thought.content[0].text.startswith("47+38")
    assert (said.type, said.role, said.status, said.content[0].annotations) == ("message", "assistant", "completed", [])
    chat = client.chat.completions.create(model="youtu-nano", messages=[{"role": "user", "content": SUM}])
    assert chat.usage.prompt_tokens == made.usage.input_tokens and chat.usage.completion_tokens == made.usage.output_tokens
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    assert 5 < made.usage.output_tokens_details.reasoning_tokens < made.usage.output_tokens
    assert made.id.startswith("resp_") and made.created_at <= made.completed_at


def test_what_was_asked_for_is_said(client: openai.OpenAI) -> None:
    made = ask(
        client,
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=5,
        metadata={"a": "b"},
        user="me",
        instructions="Be brief.",
        store=False,
    )
    assert (made.temperature, made.top_p, made.max_output_tokens, made.metadata) == (0.5, 0.9, 5, {"a": "b"})
    assert (made.user, made.instructions, made.store, made.tool_choice) == ("me", "Be brief.", False, "auto")


def test_a_reply_that_is_cut_is_incomplete(client: openai.OpenAI) -> None:
    made = ask(client, max_output_tokens=3)
    assert (made.status, made.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert made.output[-1].status == "incomplete" and made.usage.output_tokens == 3


def test_input_means_what_messages_mean(client: openai.OpenAI, served: tuple[str, OneAtATime]) -> None:
    chat: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello!"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "assistant", "content": "3."},
        {"role": "user", "content": SUM},
    ]
    items: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello!"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "3.", "annotations": []}]},
        {"role": "user", "content": SUM},
    ]
    tool = {"type": "function", "function": {name: value for name, value in ADD_TOOL.items() if name != "type"}}
    client.chat.completions.create(model="youtu-nano", messages=chat, tools=[tool], max_tokens=1)
    before = prompt(served)
    ask(client, items, instructions="Be brief.", tools=[ADD_TOOL], max_output_tokens=1)
    assert prompt(served) == before


def test_events_come_in_their_documented_order(client: openai.OpenAI) -> None:
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    once = [kind for place, kind in enumerate(kinds) if kind != kinds[place - 1] or not kind.endswith(".delta")]
    item = ["output_item.added", "content_part.added"]
    assert once == [
        "created",
        "in_progress",
        *item,
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        *item,
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    whole = events[-1].response
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    thought = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert text == whole.output_text == "85" and thought == whole.output[0].content[0].text
    assert {event.item_id for event in events if event.type == "response.output_text.delta"} == {whole.output[1].id}
    assert {event.output_index for event in events if hasattr(event, "output_index")} == {0, 1}
    assert events[0].response.status == "in_progress" and events[0].response.id == whole.id
    assert whole.usage == ask(client).usage.model_copy(update={"input_tokens_details": whole.usage.input_tokens_details})


def test_the_clients_stream_helper(client: openai.OpenAI) -> None:
    with client.responses.stream(model="youtu-nano", input=SUM) as stream:
        assert stream.get_final_response().output_text == "85"
    with client.responses.stream(model="youtu-nano", input="Hello!", text_format=Answer) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Answer)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "add"}])
def test_a_call_and_what_it_gave(client: openai.OpenAI, choice: Any) -> None:
    made = ask(client, tools=[ADD_TOOL], tool_choice=choice, parallel_tool_calls=False)
    [call] = [item for item in made.output if item.type == "function_call"]
    assert call.name == "add" and json.loads(call.arguments).keys() == {"a", "b"} and call.status == "completed"
    sent: Any = [
        {"role": "user", "content": SUM},
        *made.output,
        {"type": "function_call_output", "call_id": call.call_id, "output": "85"},
    ]
    assert ask(client, sent, tools=[ADD_TOOL], max_output_tokens=30).status in ("completed", "incomplete")
    with client.responses.stream(
        model="youtu-nano", input=SUM, tools=[ADD_TOOL], tool_choice=choice, parallel_tool_calls=False
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [item.arguments for item in final.output if item.type == "function_call"] == [call.arguments]
    [done] = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert done.arguments == call.arguments
    assert "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta") == call.arguments


def test_json_of_a_schema(client: openai.OpenAI) -> None:
    made = client.responses.parse(model="youtu-nano", input=SUM, text_format=Answer)
    assert isinstance(made.output_parsed, Answer)
    loose = ask(client, "Hello!", text={"format": {"type": "json_object"}}, max_output_tokens=100)
    assert loose.output_text.startswith("{")


def test_a_conversation_goes_on_by_id(client: openai.OpenAI, served: tuple[str, OneAtATime]) -> None:
    first = ask(client, "Hello!", instructions="Be brief.", **NO_THINKING)
    second = ask(client, SUM, previous_response_id=first.id, **NO_THINKING)
    by_id = prompt(served)
    said: Any = [{"role": "user", "content": "Hello!"}, *first.output, {"role": "user", "content": SUM}]
    ask(client, said, **NO_THINKING)
    assert prompt(served) == by_id, "the first one's instructions are its own"
    third = ask(client, "And 1 + 1?", previous_response_id=second.id, store=False, **NO_THINKING)
    assert third.previous_response_id == second.id and len(by_id) < len(prompt(served))
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(third.id)


def test_responses_are_fetched_listed_and_forgotten(client: openai.OpenAI) -> None:
    made = ask(
        client, [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": SUM}]
    )
    assert client.responses.retrieve(made.id).model_dump() == made.model_dump()
    listed = client.responses.input_items.list(made.id, order="asc").data
    assert [(item.role, item.content[0].text) for item in listed] == [("user", "Hello!"), ("assistant", "Hi."), ("user", SUM)]
    paged = list(client.responses.input_items.list(made.id, limit=1))
    assert [item.id for item in paged] == [item.id for item in reversed(listed)]
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError) as gone:
        client.responses.retrieve(made.id)
    assert gone.value.code == "response_not_found"
    with pytest.raises(openai.BadRequestError) as broken:
        ask(client, previous_response_id=made.id)
    assert (broken.value.code, broken.value.param) == ("previous_response_not_found", "previous_response_id")


def test_items_are_sent_by_reference(client: openai.OpenAI, served: tuple[str, OneAtATime]) -> None:
    made = ask(client, "Hello!", **NO_THINKING)
    user: Any = {"role": "user", "content": "Hello!"}
    ask(client, [user, *({"type": "item_reference", "id": item.id} for item in made.output), user], **NO_THINKING)
    by_reference = prompt(served)
    ask(client, [user, *made.output, user], **NO_THINKING)
    assert prompt(served) == by_reference
    with pytest.raises(openai.BadRequestError) as unknown:
        ask(client, [user, {"type": "item_reference", "id": "msg_none"}])
    assert (unknown.value.code, unknown.value.param) == ("item_not_found", "input.1.id")


def test_logprobs(client: openai.OpenAI) -> None:
    asked: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2, **NO_THINKING}
    part = ask(client, "Hello!", **asked).output[-1].content[0]
    assert "".join(one.token for one in part.logprobs) == part.text and len(part.logprobs[0].top_logprobs) == 2
    events = list(ask(client, "Hello!", stream=True, **asked))
    streamed = [one.token for event in events if event.type == "response.output_text.delta" for one in event.logprobs]
    assert streamed == [one.token for one in part.logprobs]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"truncation": "auto"}, "truncation"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input.0.content.0"),
        ({"input": [{"type": "computer_call"}]}, "input.0"),
        ({"input": "What? " * 2000}, "input"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "wat"}}}}, "text.format"),
        ({"temperature": -1}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_what_is_refused_is_named(client: openai.OpenAI, fields: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**({"model": "youtu-nano", "input": "Hello!"} | {"extra_body": fields}))
    assert refused.value.param == param
    if param == "input":
        assert refused.value.code == "context_length_exceeded"


def test_an_error_in_the_middle_is_an_event(client: openai.OpenAI, served: tuple[str, OneAtATime]) -> None:
    engine = served[1]
    engine.pause = 0.01
    try:
        stream = ask(client, "Hello!", stream=True, max_output_tokens=900, extra_body={"logit_bias": {"1": -100}}, **NO_THINKING)
        events = [next(stream) for _ in range(6)]
        engine.tickets[-1].cancel()  # as an engine does that is closed
        events += list(stream)
    finally:
        engine.pause = 0.0
    error, failed = events[-2:]
    assert (error.type, error.code) == ("error", "draining") and "about to stop" in error.message
    assert (failed.type, failed.response.status, failed.response.error.code) == ("response.failed", "failed", "draining")
    assert [event.sequence_number for event in events] == list(range(len(events)))
