"""Questions that come through a pipe, one a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from youtu_onnx.cli import console, stdin


class Reader(Protocol):
    """Where questions come from."""

    def read(self, draft: str) -> str | None:
        """The next question or command; None at the end.

        Args:
            draft: a text that the user may change. Who doesn't want to any more gives an empty line.
        """


class LineReader:
    """stdin, whose lines are read as they come."""

    def __init__(self) -> None:
        self._lines: Iterator[str] = stdin.lines()

    def read(self, draft: str) -> str | None:
        if draft:
            console.note("/edit without a text is for terminals; /edit TEXT asks TEXT in the last question's place")
            return ""
        return next(self._lines, None)
