"""Where a reply's thinking ends and its answer begins.

A reply is ``<think>…</think>answer``, or starts inside the thinking when the prompt already opened it, or has none.
Tags count only there: a ``<think>`` further on is part of the answer.
"""

from __future__ import annotations

from typing import Literal

from youtu_onnx.text.overlap import overlap

OPEN, CLOSE = "<think>", "</think>"
Kind = Literal["thinking", "answer", "tag"]


class ThinkingSplitter:
    """Sorts streamed text into thinking, answer and the tags between them; the parts join to the text again."""

    def __init__(self, *, inside: bool = False) -> None:
        """``inside``: the prompt ended with an open ``<think>``."""
        self._state: Literal["start", "thinking", "answer"] = "thinking" if inside else "start"
        self._held = ""

    def push(self, text: str) -> list[tuple[Kind, str]]:
        """The parts that are certain by now; a possible beginning of a tag is held back."""
        text, self._held = self._held + text, ""
        parts: list[tuple[Kind, str]] = []
        if self._state == "start":
            stripped = text.lstrip()
            if stripped.startswith(OPEN):
                space = len(text) - len(stripped)
                parts.append(("tag", text[: space + len(OPEN)]))
                text, self._state = stripped[len(OPEN) :], "thinking"
            elif OPEN.startswith(stripped):  # white space alone, or a piece of the tag
                self._held = text
                return parts
            else:
                self._state = "answer"
        if self._state == "thinking":
            before, tag, after = text.partition(CLOSE)
            if tag:
                parts += [("thinking", before), ("tag", tag)]
                text, self._state = after, "answer"
            else:
                keep = overlap(text, CLOSE)
                parts.append(("thinking", text[: len(text) - keep]))
                text, self._held = "", text[len(text) - keep :]
        parts.append(("answer", text))
        return [(kind, part) for kind, part in parts if part]

    def finish(self) -> list[tuple[Kind, str]]:
        """What was held back: it was no tag."""
        held, self._held = self._held, ""
        return [("thinking" if self._state == "thinking" else "answer", held)] if held else []
