"""Steps that are checked while they are written."""

from __future__ import annotations

from youtu_onnx.explain.steps import Step, checked


class LiveSteps:
    """Takes a thought as it comes, and gives the lines of it that are complete. What a verifier says of a line doesn't hang on
    what follows, so the marks are those that :func:`checked` gives in the end."""

    def __init__(self, *, known: bool = True) -> None:
        """``known``: as :func:`checked` has it."""
        self._known = known
        self._text, self._given = "", 0

    def push(self, text: str) -> list[Step]:
        """The lines that a piece of the thought completes."""
        self._text += text
        complete, end, _ = self._text.rpartition("\n")
        return self._new(complete) if end and "\n" in text else []

    def finish(self) -> list[Step]:
        """The last line, which no other follows."""
        return self._new(self._text)

    def _new(self, thought: str) -> list[Step]:
        lines = checked(thought, "", known=self._known).lines
        fresh = list(lines[self._given :])
        self._given = max(self._given, len(lines))
        return fresh
