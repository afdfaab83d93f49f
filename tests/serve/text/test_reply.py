"""Tokens → parts: stop strings, tool calls and thinking, however the text is cut into tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli_process import ROOT
from youtu_onnx.serve.engine.request import Token
from youtu_onnx.serve.text.reply import Content, ReplyReader, Thought
from youtu_onnx.serve.text.stops import StopCutter
from youtu_onnx.serve.text.tool_calls import Called, Said, ToolCallSplitter
from youtu_onnx.text import Tokenizer

TOKENIZER = Tokenizer.open(ROOT / "youtu_onnx" / "models" / "youtu_nano")


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


def cut_at(text: str, stops: Sequence[str]) -> str:
    """Character by character: where the first stop string is complete, it is cut away, the longest of several."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@settings(max_examples=150, deadline=None)
@given(st.text("ab\n", max_size=25), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4), st.lists(st.integers(0, 99)))
def test_stop_strings_cut_exactly(text: str, stops: list[str], cuts: list[int]) -> None:
    cutter = StopCutter(stops)
    shown = ""
    expected = cut_at(text, stops)
    for piece in pieces(text, cuts):
        shown += cutter.push(piece)
        assert expected.startswith(shown)  # nothing is shown that must be taken back
    assert shown + cutter.finish() == expected
    assert cutter.stopped == (expected != text)


def sort(parts: Sequence[Said | Called]) -> tuple[str, list[tuple[str, str]]]:
    calls: list[list[str]] = []
    for part in parts:
        if isinstance(part, Called):
            if part.name is not None:
                assert part.index == len(calls)
                calls.append([part.name, ""])
            calls[part.index][1] += part.arguments
    return "".join(part.text for part in parts if isinstance(part, Said)), [(name, arguments) for name, arguments in calls]


ARGUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=8)
        | st.sampled_from(["</tool_call>", "<tool_call>", '"}\\']),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=4,
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["", "Let me see. <b>", "a < b\n"]),
    st.lists(st.tuples(st.text("fg_", min_size=1, max_size=5), ARGUMENTS), max_size=3),
    st.booleans(),
    st.lists(st.integers(0, 999), max_size=20),
)
def test_calls_are_told_from_text(before: str, calls: list[tuple[str, dict]], lines: bool, cuts: list[int]) -> None:
    line = "\n" if lines else ""
    text = before + line.join(
        f'<tool_call>{line}{{"name": "{name}", "arguments": {json.dumps(arguments)}}}{line}</tool_call>'
        for name, arguments in calls
    )
    splitter, parts = ToolCallSplitter(), []
    for piece in pieces(text, cuts):
        parts += splitter.push(piece)
    said, made = sort([*parts, *splitter.finish()])
    assert said == (before.rstrip() if calls else before)
    assert [(name, json.loads(arguments)) for name, arguments in made] == calls


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        ("<tool_call>no json</tool_call>", "<tool_call>no json</tool_call>", []),
        ('<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', "", [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', "", [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": {"a": [1, {"b', "", [("f", '{"a": [1, {"b')]),
        ('<tool_call>{"name": "f', '<tool_call>{"name": "f', []),
        ('<tool_call>{"name": "f"}</tool_call>', "", [("f", "{}")]),
        ("a <tool", "a <tool", []),
        ("spaces  ", "spaces  ", []),
        ('<tool_call>{"name": "f", "arguments": {}}</tool_call>\n\nDone.', "\n\nDone.", [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": 5}</tool_call>', "", [("f", "5")]),
        ("<tool_call>[" * 50, "<tool_call>" + "[<tool_call>" * 49 + "[", []),
    ],
)
def test_unusual_calls(text: str, said: str, calls: list[tuple[str, str]]) -> None:
    for size in (1, 3, len(text)):
        splitter, parts = ToolCallSplitter(), []
        for start in range(0, len(text), size):
            parts += splitter.push(text[start : start + size])
        assert sort([*parts, *splitter.finish()]) == (said, calls)


def read(reply: ReplyReader, text: str) -> tuple[str, str, list[int]]:
    ids = TOKENIZER.encode(text, special=True)
    parts = [part for id_ in ids for part in reply.push(Token(id_))] + reply.finish()
    content = [part for part in parts if isinstance(part, Content)]
    return (
        "".join(part.text for part in parts if isinstance(part, Thought)),
        "".join(part.text for part in content),
        [token.id for part in content for token in part.tokens],
    )


def test_thinking_is_trimmed_and_stops_are_for_the_answer() -> None:
    text = "<think>\nhm stop 1\n\n2 \n</think>\n\nWell 你好 stop 😀"
    thought, answer, ids = read(ReplyReader(TOKENIZER, thinking=False, stops=["stop"]), text)
    assert (thought, answer) == ("hm stop 1\n\n2", "Well 你好 ")
    assert TOKENIZER.decode(ids[:-1]) + " " == answer  # the last one holds the stop string's beginning, too
    assert read(ReplyReader(TOKENIZER, thinking=True), "still\n</think>\nNow")[:2] == ("still", "Now")
    assert read(ReplyReader(TOKENIZER), text)[1] == text
    assert read(ReplyReader(TOKENIZER, thinking=False), " \nno thought ")[:2] == ("", " \nno thought ")


@settings(max_examples=80, deadline=None)
@given(st.text("ab 你😀\n<", max_size=20), st.lists(st.text("ab 你😀", min_size=1, max_size=3), max_size=3))
def test_logprobs_belong_to_what_is_shown(text: str, stops: list[str]) -> None:
    """The tokens handed out are the first ones, and together they say the answer, but for a last one that a stop string cuts."""
    _, answer, ids = read(ReplyReader(TOKENIZER, stops=stops), text)
    assert answer == cut_at(text, stops)
    assert ids == TOKENIZER.encode(text, special=True)[: len(ids)]
    assert TOKENIZER.decode(ids).startswith(answer)
    without_last = TOKENIZER.decode(ids[:-1]).rstrip("\ufffd")  # a character may be made of several tokens
    assert answer == text or not ids or len(without_last) < len(answer)
