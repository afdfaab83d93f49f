"""Progress that remembers what it was told to say."""

from __future__ import annotations

from youtu_onnx.core.progress import Silent


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)
