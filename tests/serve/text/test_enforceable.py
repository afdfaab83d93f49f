"""What is left out of schemas that a grammar can't hold, and what still binds."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import llguidance
import pytest

from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.text.model_text import ModelText
from youtu_onnx.text import constraint
from youtu_onnx.text.constraint import Form, Function, GrammarConstraint, Grammars
from youtu_onnx.text.enforceable import Enforceable

LOOKS_AHEAD = "^(?!\\.)[a-z]+@[a-z]+$"
EMAIL = {"type": "string", "pattern": LOOKS_AHEAD}


@pytest.fixture(scope="module")
def grammars(served_text: ModelText) -> Grammars:
    return Grammars(served_text, 1280)


@pytest.fixture
def accepts(served_text: ModelText) -> Any:
    """``accepts(constraint, text)``: whether the whole text obeys."""

    def accepts(constraint: GrammarConstraint, text: str) -> bool:
        for id_ in served_text.tokenizer.encode(text, special=True):
            if not constraint.allowed()[id_]:
                return False
            constraint.accept(id_)
        return bool(constraint.allowed()[min(served_text.eos_ids)])

    return accepts


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


CASES: list[tuple[dict[str, Any], str, str]] = [
    (closed(to=EMAIL), "properties.to.pattern", LOOKS_AHEAD),
    (closed(to={"type": "string", "pattern": "(a)\\1"}), "properties.to.pattern", "backreference"),
    (closed(to={"type": "any"}), "properties.to.type", "any"),
    (closed(to={"$ref": "#/$defs/nowhere"}), "properties.to.$ref", "#/$defs/nowhere"),
    (closed(to={"$ref": "https://a.example/b.json"}), "properties.to.$ref", "https://a.example/b.json"),
    (closed(to={"$ref": "#/properties/to"}), "properties.to.$ref", "leads to itself"),
    (closed(to={"type": "string", "maxLength": 10**30}), "properties.to.maxLength", "maxLength"),
    (closed(to={"anyOf": [{"type": "integer"}, EMAIL]}), "properties.to.anyOf.1.pattern", LOOKS_AHEAD),
    (closed(to={"enum": []}), "properties.to.enum", "Unsatisfiable"),
    (closed(to=closed(deep={"type": "array", "items": EMAIL})), "properties.to.properties.deep.items.pattern", LOOKS_AHEAD),
    ({"$defs": {"mail": EMAIL}, **closed(to={"$ref": "#/$defs/mail"})}, "$defs.mail.pattern", LOOKS_AHEAD),
    ({"definitions": {"a/b": EMAIL}, **closed(to={"$ref": "#/definitions/a~1b"})}, "definitions.a/b.pattern", LOOKS_AHEAD),
    ({"type": "object", "patternProperties": {"(?!a)b": {}}, "additionalProperties": False}, "patternProperties", "look"),
]


@pytest.mark.parametrize(("schema", "place", "why"), CASES)
def test_a_strict_schema_is_refused_with_the_place(grammars: Grammars, schema: dict[str, Any], place: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        grammars.json(schema, thinking="none", strict=True)
    assert refused.value.message.startswith(f"{place} of the schema can't be enforced: ") and why in refused.value.message


@pytest.mark.parametrize(("schema", "place", "why"), CASES)
def test_of_another_schema_all_else_binds(grammars: Grammars, accepts: Any, schema: dict[str, Any], place: str, why: str) -> None:
    def form() -> GrammarConstraint:
        return grammars.json(schema, thinking="none", strict=False)

    assert not accepts(form(), "[1]")
    if "properties" in schema:
        assert not accepts(form(), "{}") and not accepts(form(), '{"other": 1}')


def test_a_property_whose_pattern_is_left_out_is_still_a_string(grammars: Grammars, accepts: Any) -> None:
    def form() -> GrammarConstraint:
        return grammars.json(closed(to=EMAIL, n={"type": "integer", "maximum": 9}), thinking="none", strict=False)

    assert accepts(form(), '{"to": "anything", "n": 3}')
    assert not accepts(form(), '{"to": 5, "n": 3}') and not accepts(form(), '{"to": "a", "n": 30}')


def test_what_is_enforceable_is_left_as_it_is() -> None:
    schema = closed(a={"$ref": "#"})
    assert Enforceable.of(schema, lambda schema: None) == Enforceable(schema)


def test_a_schema_full_of_faults_is_given_up_as_a_whole(grammars: Grammars) -> None:
    many = closed(**{f"p{number}": {"type": "string", "pattern": f"(?!{number})"} for number in range(3000)})
    with pytest.raises(UsageError, match="too many of its parts"):
        grammars.json(many, thinking="none", strict=True)


def test_a_form_of_which_nothing_is_left_is_refused(grammars: Grammars) -> None:
    for schema in ({"type": "wat"}, {"pattern": LOOKS_AHEAD}, {"$ref": "#/nowhere"}, {"$ref": "#"}):
        with pytest.raises(UsageError, match="can't be enforced"):
            grammars.json(schema, thinking="none", strict=False)


def test_one_tool_that_cannot_be_enforced_takes_no_other_down(grammars: Grammars, accepts: Any) -> None:
    digit = {"type": "integer", "minimum": 0, "maximum": 9}
    functions = [
        Function("mail", closed(to=EMAIL)),
        Function("add", closed(a=digit), strict=True),
        Function("odd", {"type": "wat"}),
    ]

    def calls() -> GrammarConstraint:
        return grammars.calls(functions, required=True, parallel=False, thinking="none")

    def call(name: str, arguments: str) -> str:
        return f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'

    assert accepts(calls(), call("mail", '{"to": "anything"}')) and not accepts(calls(), call("mail", '{"to": 5}'))
    assert accepts(calls(), call("add", '{"a": 5}')) and not accepts(calls(), call("add", '{"a": 50}'))
    assert accepts(calls(), call("odd", '{"x": 1}')) and not accepts(calls(), call("odd", "5"))


def test_a_strict_tool_that_cannot_be_enforced_is_named(grammars: Grammars) -> None:
    functions = [Function("add", closed(a={"type": "integer"})), Function("mail", closed(to=EMAIL), strict=True)]
    with pytest.raises(UsageError) as refused:
        grammars.calls(functions, required=False, parallel=True, thinking="possible")
    assert refused.value.message.startswith("properties.to.pattern of the parameters of mail can't be enforced: ")
    assert LOOKS_AHEAD in refused.value.message


def test_an_answer_has_its_form_where_no_tool_is_called(grammars: Grammars, accepts: Any) -> None:
    schema = closed(a={"enum": [1]})
    form: Form = grammars.form(schema, strict=True)
    functions = [Function("now")]

    def reply() -> GrammarConstraint:
        return grammars.calls(functions, required=False, parallel=True, thinking="none", form=form)

    jsonschema_rs.validate(schema, json.loads('{"a": 1}'))
    assert accepts(reply(), '{"a": 1}') and not accepts(reply(), "Hello!") and not accepts(reply(), '{"a": 2}')
    assert accepts(reply(), '<tool_call>{"name": "now", "arguments": {}}</tool_call>')


def test_tools_that_together_are_too_many_lose_their_schemas_unless_they_are_strict(
    grammars: Grammars, accepts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraint, "LIMITS", llguidance.LLParserLimits(max_grammar_size=600))
    schema = closed(**{f"p{number}": {"type": "string"} for number in range(30)})

    def calls(strict: bool) -> GrammarConstraint:
        functions = [Function(f"f{number}", schema, strict=strict) for number in range(9)]
        return grammars.calls(functions, required=True, parallel=False, thinking="none")

    assert accepts(calls(strict=False), '<tool_call>{"name": "f8", "arguments": {"x": 1}}</tool_call>')
    with pytest.raises(UsageError, match="together"):
        calls(strict=True)
