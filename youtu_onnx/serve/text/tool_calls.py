"""Youtu-LLM's tool calls in streamed text: ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``, with or without line breaks.

A call's end is found by reading its JSON, so that arguments may hold any text, even a closing tag.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from youtu_onnx.text.overlap import overlap

OPEN, CLOSE = "<tool_call>", "</tool_call>"

HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\S)')


@dataclass(frozen=True)
class Said:
    """Text beside the calls."""

    text: str


@dataclass(frozen=True)
class Called:
    """The beginning of a call, or more of its arguments.

    Attributes:
        index: 0 for the reply's first call.
        name: of the function, at the beginning of a call; else None.
        arguments: JSON text; all of a call's join to the whole.
    """

    index: int
    name: str | None
    arguments: str


class ToolCallSplitter:
    """Sorts streamed text into calls and what is said beside them.

    White space around calls belongs to neither. A call that can't be read is passed on as text, tags and all.

    Attributes:
        calls: so many have begun.
    """

    def __init__(self) -> None:
        self._state = "text"
        self._held = ""
        self._value: _Value | None = None
        self.calls = 0

    def push(self, text: str) -> list[Said | Called]:
        """The parts that are certain by now."""
        self._held += text
        parts: list[Said | Called] = []
        step = {"text": self._text, "head": self._head, "arguments": self._arguments, "tail": self._tail}
        while step[self._state](parts):
            pass
        return parts

    def finish(self) -> list[Said | Called]:
        """What was held back. A call that never ended has what it has of arguments."""
        held, self._held = self._held, ""
        if self._state == "head":
            return [Said(OPEN + held)]
        if self._state == "text" and held and (held.strip() or not self.calls):
            return [Said(held)]
        return []

    def _text(self, parts: list[Said | Called]) -> bool:
        before, tag, after = self._held.partition(OPEN)
        if tag:
            if before.strip():
                parts.append(Said(before.rstrip()))
            self._held, self._state = after, "head"
            return True
        # White space belongs to what follows it: of "Sure. \n" and of "Sure. \n<tool" only "Sure." is certain, since the rest may
        # become white space before a call; of "Sure. \nThen" all is.
        certain = before.rstrip()
        if certain == before:
            certain = before[: len(before) - overlap(before, OPEN)].rstrip()
        if certain:
            parts.append(Said(certain))
        self._held = before[len(certain) :]
        return False

    def _head(self, parts: list[Said | Called]) -> bool:
        if (head := HEAD.match(self._held)) and (name := _string(head[1])) is not None:
            parts.append(Called(self.calls, name, ""))
            self.calls += 1
            self._held, self._state = self._held[head.end() :], "arguments"
            self._value = _Value(quoted=self._held.startswith('"'))
            return True
        body, tag, after = self._held.partition(CLOSE)
        if not tag:
            return False
        call = _whole_call(body)
        if call is None:
            parts.append(Said(OPEN + body + tag))
        else:
            parts.append(Called(self.calls, *call))
            self.calls += 1
        self._held, self._state = after, "text"
        return True

    def _arguments(self, parts: list[Said | Called]) -> bool:
        assert self._value is not None
        length = self._value.read(self._held)
        piece, self._held = self._held[:length], self._held[length:]
        text = self._value.pass_on(piece)
        if text:
            parts.append(Called(self.calls - 1, None, text))
        if self._value.complete:
            self._state = "tail"
        return self._value.complete

    def _tail(self, parts: list[Said | Called]) -> bool:
        _, tag, after = self._held.partition(CLOSE)
        if tag:
            self._held, self._state = after, "text"
        return bool(tag)


class _Value:
    """A JSON object, or a string that holds one, read as far as it is there."""

    def __init__(self, *, quoted: bool) -> None:
        self._quoted, self._text = quoted, ""
        self._depth, self._in_string, self._escaped = 0, False, False
        self.complete = False

    def read(self, text: str) -> int:
        """How many of these characters belong to the value."""
        for index, character in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._in_string = False
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                if self._depth == 0:  # a number or a word ended before it
                    self.complete = True
                    return index
                self._depth -= 1
            if self._depth == 0 and not self._in_string and character in '}]"':
                self.complete = True
                return index + 1
        return len(text)

    def pass_on(self, piece: str) -> str:
        """The text for the client: as it comes, but what a string holds only when the string is whole."""
        if not self._quoted:
            return piece
        self._text += piece
        if not self.complete:
            return ""
        return _string(self._text) or self._text


def _string(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _whole_call(body: str) -> tuple[str, str] | None:
    """Name and arguments of a call whose JSON is written in another order."""
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", call.get("parameters", {}))
    return call["name"], arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
