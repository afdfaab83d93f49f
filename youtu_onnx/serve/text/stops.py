"""Cutting a reply at stop strings, while it is being written."""

from __future__ import annotations

from collections.abc import Sequence

from youtu_onnx.text.overlap import overlap


class StopCutter:
    """Passes text on, up to the first stop string to be complete; of two complete at once, the longer.

    What may be the beginning of one is held back, so nothing of a stop string is ever passed on, however the text was cut
    into pieces.

    Attributes:
        fed, passed: characters that came in and that went out.
        stopped: a stop string was found; all further text is dropped.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """``stops``: none of them empty."""
        self._stops = tuple(stops)
        self._held = ""
        self.fed = self.passed = 0
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that is certain by now."""
        if self.stopped:
            return ""
        self.fed += len(text)
        text, self._held = self._held + text, ""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            # the smallest end, and then the smallest beginning: in "a cat" of " c", "at" and "cat" it is " c", complete at 3
            _, begins = min(found)
            self.stopped, text = True, text[:begins]
        elif self._stops:
            keep = max(overlap(text, stop) for stop in self._stops)
            text, self._held = text[: len(text) - keep], text[len(text) - keep :]
        self.passed += len(text)
        return text

    def finish(self) -> str:
        """What was held back: it was no stop string."""
        held, self._held = self._held, ""
        self.passed += len(held)
        return held
