"""OpenAI's own client, unmodified, against the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.serve.http.serving import ADD, OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

SUM: list[Any] = [{"role": "user", "content": "What is 47 + 38?"}]
HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]
ADD_TOOL: Any = {"type": "function", "function": ADD}


@pytest.fixture(scope="module")
def url(nano_bundle: Any, served_text: ModelText) -> Iterator[str]:
    engine = OneAtATime(nano_bundle())
    with listening(application(engine, text=served_text, settings=Settings(api_keys=("right",)))) as url:
        yield url
    engine.close()


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="right", max_retries=0)


def ask(client: openai.OpenAI, messages: list[Any] = SUM, **fields: Any) -> Any:
    return client.chat.completions.create(model="youtu-nano", messages=messages, **fields)


def test_models(client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert model.id == "youtu-nano" == client.models.retrieve("youtu-nano").id
    extra = model.model_dump()
    assert extra["context_length"] == 1024 and extra["thinking_switch"] and extra["tools"]
    assert extra["defaults"]["max_tokens"] == 192 and extra["defaults"]["temperature"] == 0


def test_a_reply_and_its_thinking(client: openai.OpenAI) -> None:
    made = ask(client)
    [choice] = made.choices
    assert (choice.message.content, choice.finish_reason) == ("85", "stop")
    assert choice.message.reasoning_content.startswith("47+38")
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    again = ask(client)
    assert again.choices[0].message == choice.message
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


def test_a_stream_says_the_same_as_one_answer(client: openai.OpenAI) -> None:
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    deltas = [chunk.choices[0].delta for chunk in chunks[:-1]]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    thought = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thought) == whole.choices[0].message.reasoning_content and sum(map(bool, thought)) > 3
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "stop"
    assert chunks[0].usage is None


def test_thinking_can_be_switched_off(client: openai.OpenAI) -> None:
    message = ask(client, extra_body={"chat_template_kwargs": {"enable_thinking": False}}).choices[0].message
    assert message.content and not hasattr(message, "reasoning_content")


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings(client: openai.OpenAI, stream: bool) -> None:
    full = ask(client, HELLO).choices[0].message.content
    stop = full[3:9]  # across tokens
    made = ask(client, HELLO, stop=[stop, "never"], stream=stream)
    if stream:
        chunks = list(made)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == full[:3]
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        assert (made.choices[0].message.content, made.choices[0].finish_reason) == (full[:3], "stop")


def test_max_tokens_ends_with_length(client: openai.OpenAI) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        made = ask(client, HELLO, **{name: 2})
        assert (made.choices[0].finish_reason, made.usage.completion_tokens) == ("length", 2)


def test_seeds_repeat_and_n_differs(client: openai.OpenAI) -> None:
    def texts(**fields: Any) -> list[str]:
        made = client.completions.create(model="youtu-nano", prompt="What", max_tokens=12, temperature=1.5, **fields)
        assert [choice.index for choice in made.choices] == list(range(len(made.choices)))
        return [choice.text for choice in made.choices]

    assert texts(n=3, seed=7) == texts(n=3, seed=7)
    assert len(set(texts(n=3, seed=7))) > 1
    assert texts(seed=8) == texts(n=2, seed=7)[1:]
    assert texts(seed=-5) == texts(seed=-5)


def test_streams_of_several_replies(client: openai.OpenAI) -> None:
    whole = ask(client, HELLO, n=2, temperature=1.5, seed=3)
    texts = ["", ""]
    for chunk in ask(client, HELLO, n=2, temperature=1.5, seed=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert whole.usage.prompt_tokens == ask(client, HELLO).usage.prompt_tokens


def test_logprobs_of_a_chat(client: openai.OpenAI) -> None:
    choice = ask(client, logprobs=True, top_logprobs=3).choices[0]
    entries = choice.logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in entries).decode() == choice.message.content
    for entry in entries:
        assert entry.logprob == max(one.logprob for one in entry.top_logprobs) <= 0  # greedy
        assert len(entry.top_logprobs) == 3
    streamed = [
        entry
        for chunk in ask(client, logprobs=True, top_logprobs=3, stream=True)
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content
    ]
    assert [entry.token for entry in streamed] == [entry.token for entry in entries]


def test_completions(client: openai.OpenAI) -> None:
    made = client.completions.create(model="youtu-nano", prompt=["What is", "Hello"], max_tokens=4, logprobs=2)
    assert len(made.choices) == 2
    for choice in made.choices:
        found = choice.logprobs
        assert "".join(found.tokens) == choice.text
        assert [
            choice.text[offset : offset + len(token)] for offset, token in zip(found.text_offset, found.tokens, strict=True)
        ] == found.tokens
        assert all(len(top) == 2 for top in found.top_logprobs)
    twice = client.completions.create(model="youtu-nano", prompt=["What is", "What is"], max_tokens=1, n=2)
    assert (
        twice.usage.prompt_tokens
        == 2 * client.completions.create(model="youtu-nano", prompt="What is", max_tokens=1).usage.prompt_tokens
    )
    assert len(twice.choices) == twice.usage.completion_tokens == 4
    streamed = client.completions.create(model="youtu-nano", prompt="What is", max_tokens=4, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == made.choices[0].text
    assert len(client.completions.create(model="youtu-nano", prompt=[0, 5, 6], max_tokens=3).choices) == 1
    text = made.choices[0].text
    stopped = client.completions.create(model="youtu-nano", prompt="What is", max_tokens=4, stop=text[1:3])
    assert (stopped.choices[0].text, stopped.choices[0].finish_reason) == (text[: text.index(text[1:3])], "stop")


def test_penalties_and_bias_reach_the_sampler(client: openai.OpenAI) -> None:
    def text(**fields: Any) -> str:
        return (
            client.completions.create(model="youtu-nano", prompt="1 1 1 1", max_tokens=10, temperature=0, **fields)
            .choices[0]
            .text
        )

    assert text(logit_bias={"50": 100}) == "O" * 10  # token 50
    either = {"50": 50, "51": 50}
    assert len(set(text(logit_bias=either))) == 1
    assert set(text(logit_bias=either, frequency_penalty=2)) == {"O", "P"}
    assert len(set(text(extra_body={"repetition_penalty": 5.0}))) > 3


def test_min_p_leaves_the_likeliest(client: openai.OpenAI) -> None:
    def text(**fields: Any) -> str:
        made = client.completions.create(model="youtu-nano", prompt="What is", max_tokens=8, **fields)
        return str(made.choices[0].text)

    assert text(temperature=1.5, extra_body={"min_p": 1.0}) == text(temperature=0)


class Answer(BaseModel):
    number: int = Field(ge=0, le=99)
    sign: Literal["plus", "minus"]


def test_json_of_a_schema_is_parsed(client: openai.OpenAI) -> None:
    made = client.chat.completions.parse(model="youtu-nano", messages=SUM, response_format=Answer)
    assert isinstance(made.choices[0].message.parsed, Answer)
    assert made.choices[0].message.reasoning_content.startswith("47+38")
    with client.chat.completions.stream(model="youtu-nano", messages=HELLO, response_format=Answer) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Answer)


def test_json_objects_parse_unless_they_are_cut_off(client: openai.OpenAI) -> None:
    choice = ask(client, HELLO, response_format={"type": "json_object"}, max_tokens=100).choices[0]
    assert choice.message.content.startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)
    cut = ask(
        client,
        HELLO,
        max_tokens=3,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": Answer.model_json_schema()}},
    ).choices[0]
    assert cut.finish_reason == "length"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_a_call_that_must_be(client: openai.OpenAI, choice: Any) -> None:
    made = ask(client, tools=[ADD_TOOL], tool_choice=choice, parallel_tool_calls=False).choices[0]
    [call] = made.message.tool_calls
    assert call.function.name == "add" and json.loads(call.function.arguments).keys() == {"a", "b"}
    assert made.message.content is None and call.id
    assert made.finish_reason == ("tool_calls" if choice == "required" else "stop")
    with client.chat.completions.stream(
        model="youtu-nano", messages=SUM, tools=[ADD_TOOL], tool_choice=choice, parallel_tool_calls=False
    ) as stream:
        [streamed] = stream.get_final_completion().choices[0].message.tool_calls
    assert streamed.function.arguments == call.function.arguments and streamed.function.parsed_arguments


def test_tools_that_may_be_called_and_may_not(client: openai.OpenAI) -> None:
    assert ask(client, tools=[ADD_TOOL]).choices[0].finish_reason in ("stop", "tool_calls")
    plain = ask(client)
    off = ask(client, tools=[ADD_TOOL], tool_choice="none")
    assert off.choices[0].message.content == plain.choices[0].message.content
    assert off.usage.prompt_tokens == plain.usage.prompt_tokens


def test_errors_are_the_clients_own_classes(client: openai.OpenAI, url: str) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-5", messages=SUM)
    assert missing.value.code == "model_not_found" and missing.value.param == "model"
    with pytest.raises(openai.AuthenticationError):
        ask(openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0))
    with pytest.raises(openai.BadRequestError) as wrong:
        ask(client, temperature=-1)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, [{"role": "user", "content": "What? " * 2000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="can't be enforced"):
        ask(client, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "wat"}}})
