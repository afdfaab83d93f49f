"""Schemas of tools and answers in requests: which are enforced, passed over or refused, and how they go together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.serve.http.serving import OneAtATime
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText
from youtu_onnx.text.constraint import GrammarConstraint

DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
LOOKS_AHEAD = "^(?!\\.)[a-z]+@[a-z]+$"
Ask = Callable[..., Any]


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def tool(name: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters} | more}


def form(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema} | more}


MAIL, ADD = closed(to={"type": "string", "pattern": LOOKS_AHEAD}), closed(a=DIGIT, b=DIGIT)


@pytest.fixture(scope="module")
def ask(nano_bundle: Any, served_text: ModelText) -> Iterator[Ask]:
    """``ask(**fields)`` → the response."""
    engine = OneAtATime(nano_bundle())
    client = TestClient(application(engine, text=served_text), base_url="http://127.0.0.1")
    messages = [{"role": "user", "content": "What is 4 + 3?"}]
    common = {"messages": messages, "max_tokens": 80, "chat_template_kwargs": {"enable_thinking": False}}
    yield lambda **fields: client.post("/v1/chat/completions", json=common | fields)
    engine.close()


@pytest.mark.parametrize("strict", [{}, {"strict": None}, {"strict": False}])
def test_one_tool_that_cannot_be_enforced_takes_no_request_down(ask: Ask, strict: dict[str, Any]) -> None:
    tools = [tool("mail", MAIL, **strict), tool("add", ADD, strict=True)]
    assert ask(tools=tools).status_code == 200
    made = ask(tools=tools, tool_choice={"type": "function", "function": {"name": "add"}}).json()
    arguments = json.loads(made["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
    assert arguments.keys() == {"a", "b"} and all(0 <= number <= 9 for number in arguments.values())


def test_a_strict_tool_that_cannot_be_enforced_is_named_with_its_pattern(ask: Ask) -> None:
    response = ask(tools=[tool("add", ADD), tool("mail", MAIL, strict=True)])
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, "tools", "invalid_schema")
    assert error["message"].startswith("properties.to.pattern of the parameters of mail can't be enforced")
    assert LOOKS_AHEAD in error["message"]


@pytest.mark.parametrize("strict", [{}, {"strict": None}, {"strict": False}])
def test_a_form_is_strict_only_where_it_says_so(ask: Ask, strict: dict[str, Any]) -> None:
    assert ask(response_format=form(MAIL, **strict)).status_code == 200
    unique = closed(a={"type": "array", "items": DIGIT, "uniqueItems": True, "maxItems": 2})
    made = ask(response_format=form(unique, **strict)).json()
    assert json.loads(made["choices"][0]["message"]["content"]).keys() == {"a"}
    error = ask(response_format=form(MAIL, strict=True)).json()["error"]
    assert error["param"] == "response_format" and LOOKS_AHEAD in error["message"]
    assert "uniqueItems" in ask(response_format=form(unique, strict=True)).json()["error"]["message"]


@pytest.mark.parametrize("wanted", [form(ADD, strict=True), form(ADD), {"type": "json_schema", "json_schema": {"schema": ADD}}])
def test_a_form_and_tools(ask: Ask, wanted: dict[str, Any]) -> None:
    tools = [tool("now", {})]
    said = ask(response_format=wanted, tools=tools, logit_bias={"1276": -100}).json()["choices"][0]
    assert said["finish_reason"] == "stop" and json.loads(said["message"]["content"]).keys() == {"a", "b"}
    called = ask(response_format=wanted, tools=tools, tool_choice="required").json()["choices"][0]["message"]
    assert called["tool_calls"][0]["function"]["name"] == "now" and called["content"] is None


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_some_of_the_tools(ask: Ask, mode: str) -> None:
    def choice(*names: str) -> dict[str, Any]:
        named = [{"type": "function", "function": {"name": name}} for name in names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}

    tools = [tool("now", {}), tool("add", ADD)]
    for name in ("now", "add"):
        made = ask(tools=tools, tool_choice=choice(name), logit_bias={"1276": 40}).json()["choices"][0]
        assert {call["function"]["name"] for call in made["message"]["tool_calls"]} == {name}
    error = ask(tools=tools, tool_choice=choice("add", "other")).json()["error"]
    assert error["message"] == "tool_choice names 'other', which is none of the tools"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"response_format": {"type": "grammar"}}, "response_format", "type is one of 'text', 'json_object', 'json_schema'"),
        ({"response_format": "json"}, "response_format", "type is one of"),
        ({"response_format": {"type": "json_object", "schema": {}}}, "response_format.schema", "is not a field"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "required"),
        ({"tools": [tool("f", {})], "tool_choice": "any"}, "tool_choice", "'none', 'auto' or 'required'"),
        ({"tools": [tool("f", {})], "tool_choice": {"type": "tool"}}, "tool_choice", "'function', 'allowed_tools'"),
        ({"tools": [tool("f", {}, paramaters={})]}, "tools.0.function.paramaters", "is not a field"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools.0.type", "'function'"),
    ],
)
def test_what_is_asked_for_is_read_strictly(ask: Ask, fields: dict[str, Any], param: str, words: str) -> None:
    response = ask(**fields)
    error = response.json()["error"]
    assert response.status_code == 400 and error["param"] == param and words in error["message"]


def test_a_grammar_that_gives_up_is_the_requests_own(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed(self: GrammarConstraint) -> np.ndarray:
        self.failure = "too many states"
        mask = np.zeros(1280, bool)
        mask[1] = True
        return mask

    monkeypatch.setattr(GrammarConstraint, "allowed", allowed)
    response = ask(response_format=form(ADD))
    assert response.status_code == 400 and response.json()["error"]["code"] == "constraint_failed"
