"""Grammars: whatever a model would like to write, what it writes obeys."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.text.model_text import ModelText
from youtu_onnx.text.constraint import Function, GrammarConstraint, Grammars

VOCABULARY = 1290  # ten more than the tokenizer has
END = 1


@pytest.fixture(scope="module")
def grammars(served_text: ModelText) -> Grammars:
    return Grammars(served_text, VOCABULARY)


@pytest.fixture(scope="module")
def write(served_text: ModelText):
    """``write(constraint, seed)`` → what a model says that takes any allowed token, and is in a hurry."""

    def write(constraint: GrammarConstraint, seed: int, limit: int = 400) -> str | None:
        chance, ids = random.Random(seed), []
        closers = [
            id_ for id_ in range(1280) if re.fullmatch(r'["\]}]+|</think>|</tool_call>', served_text.tokenizer.decode([id_]))
        ]
        while len(ids) < limit:
            allowed = constraint.allowed()
            assert allowed.shape == (VOCABULARY,) and allowed.any() and not allowed[1280:].any()
            if allowed[END] and chance.random() < 0.5:
                break
            hurried = [id_ for id_ in closers if allowed[id_]]
            pool = hurried if hurried and chance.random() < 0.4 else allowed.nonzero()[0].tolist()
            id_ = chance.choice(pool)
            if id_ == END:
                break
            constraint.accept(id_)
            ids.append(id_)
        else:
            return None
        assert constraint.failure is None
        return served_text.tokenizer.decode(ids)

    return write


SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"enum": ["a", "苏黎世", None]}, "minItems": 1, "maxItems": 3},
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"value": {"type": "boolean"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["value", "next"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(SCHEMAS), st.integers(0, 1 << 30), st.sampled_from(["open", "possible", "none"]))
def test_json_obeys_its_schema_after_any_thinking(grammars: Grammars, write: Any, schema: Any, seed: int, thinking: Any) -> None:
    text = write(grammars.json(schema, thinking=thinking), seed)
    if text is None:
        return  # as with a real model: what max_tokens cuts off need not parse
    thought, tag, answer = text.partition("</think>")
    if thinking == "none":
        assert not tag
    jsonschema_rs.validate(schema, json.loads(answer if tag else thought))


FUNCTIONS = [Function("weather", SCHEMAS[0], strict=True), Function("now")]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 30), st.booleans(), st.booleans())
def test_calls_name_a_tool_and_have_its_arguments(
    grammars: Grammars, write: Any, seed: int, required: bool, parallel: bool
) -> None:
    text = write(grammars.calls(FUNCTIONS, required=required, parallel=parallel, thinking="possible"), seed)
    if text is None:
        return
    answer = text.partition("</think>")[2] if text.startswith("<think>") else text
    calls = re.findall(r"<tool_call>\n?(.*?)\n?</tool_call>", answer, re.DOTALL)
    assert answer.count("<tool_call>") == len(calls)
    assert len(calls) >= required and (parallel or len(calls) <= 1)
    for call in map(json.loads, calls):
        assert call.keys() == {"name", "arguments"}
        schema = {"weather": SCHEMAS[0], "now": {"type": "object"}}[call["name"]]
        jsonschema_rs.validate(schema, call["arguments"])


def test_a_copy_goes_its_own_way(grammars: Grammars, served_text: ModelText) -> None:
    one = grammars.json(SCHEMAS[0], thinking="none")
    other = one.copy()
    for id_ in served_text.tokenizer.encode('{"city'):
        one.accept(id_)
    assert one.failure is None and not (one.allowed() == other.allowed()).all()


def test_a_refused_token_fails_and_then_only_the_end_is_allowed(grammars: Grammars) -> None:
    constraint = grammars.json(SCHEMAS[0], thinking="none")
    constraint.accept(END)
    assert constraint.failure
    assert constraint.allowed().nonzero()[0].tolist() == [END]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "wat"},
        {"$ref": "#/nowhere"},
        {"type": "string", "format": "nonsense"},
        {"type": "object", "propertyNames": {"pattern": "^a"}},
        {"type": "string", "pattern": "("},
    ],
)
def test_schemas_that_cannot_be_enforced_are_refused(grammars: Grammars, schema: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="can't be enforced"):
        grammars.json(schema, thinking="none")


def test_keywords_that_cannot_be_enforced_are_passed_over_where_the_caller_is_not_strict(grammars: Grammars, write: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1]}},
        "required": ["a"],
        "additionalProperties": False,
        "propertyNames": {"pattern": "^a"},
    }
    assert json.loads(write(grammars.json(schema, thinking="none", strict=False), 0)) == {"a": 1}


def test_token_bytes_are_the_tokens(grammars: Grammars, served_text: ModelText) -> None:
    text = "你好 <think>\n😀"
    assert b"".join(map(grammars.token_bytes, served_text.tokenizer.encode(text, special=True))) == text.encode()
