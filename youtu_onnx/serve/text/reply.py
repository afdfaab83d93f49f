"""Tokens of one reply → what a client gets of them: thinking, text, tool calls, up to a stop string."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from youtu_onnx.serve.engine.request import Token
from youtu_onnx.serve.text.stops import StopCutter
from youtu_onnx.serve.text.tool_calls import Called, Said, ToolCallSplitter
from youtu_onnx.text import ThinkingSplitter, Tokenizer
from youtu_onnx.text.thinking import Kind


@dataclass(frozen=True)
class Thought:
    """A stretch of the thinking."""

    text: str


@dataclass(frozen=True)
class Content:
    """A stretch of the answer. ``tokens``: those that it was made of."""

    text: str
    tokens: tuple[Token, ...] = ()


Part = Thought | Content | Called


class ReplyReader:
    """Reads one reply's tokens as they come.

    Stop strings are looked for in the answer, not in thinking or in calls.

    Attributes:
        thought: tokens that were no part of the answer: thinking, and the tags around it.
        count: tokens read, up to the one that made a stop string complete.
        calls: tool calls that began.
        stopped: a stop string was found: nothing more will come.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        stops: Sequence[str] = (),
        thinking: bool | None = None,
        tools: bool = False,
        goes_on: bool = False,
    ) -> None:
        """
        Args:
            thinking: the prompt ended inside an open ``<think>``; None: the text is passed on as it is, tags and all.
            tools: tell tool calls from text.
            goes_on: the prompt ends in the middle of the reply, so white space at once is part of it.
        """
        self._stream = tokenizer.stream()
        self._thinking = None if thinking is None else ThinkingSplitter(inside=thinking)
        self._tools = ToolCallSplitter() if tools else None
        self._stops = StopCutter(stops)
        self._thought = _Trimmed(begun=goes_on)
        self._after_thinking = bool(thinking)  # white space after the thinking is not the answer's
        self._waiting: deque[_Waiting] = deque()
        self.count = self.thought = 0

    @property
    def calls(self) -> int:
        return 0 if self._tools is None else self._tools.calls

    @property
    def stopped(self) -> bool:
        return self._stops.stopped

    def push(self, token: Token) -> list[Part]:
        """The parts that this token completes."""
        if self.stopped:
            return []
        self.count += 1
        self._waiting.append(_Waiting(token, self._stops.fed))
        return self._text(self._stream.push(token.id))

    def finish(self) -> list[Part]:
        """What was held back."""
        if self.stopped:
            return []
        parts = self._text(self._stream.finish())
        if self._thinking is not None:
            parts += self._sorted(self._thinking.finish())
        if self._tools is not None:
            parts += self._said(self._tools.finish())
        held = self._stops.finish()
        return [*parts, self._content(held)] if held else parts

    def _text(self, text: str) -> list[Part]:
        if not text:
            return []
        return self._answer(text) if self._thinking is None else self._sorted(self._thinking.push(text))

    def _sorted(self, pieces: Iterable[tuple[Kind, str]]) -> list[Part]:
        parts: list[Part] = []
        for kind, text in pieces:
            if kind == "answer":
                if self._after_thinking:
                    text = text.lstrip()
                    self._after_thinking = not text
                if text:
                    parts += self._answer(text)
                    continue
            elif kind == "thinking" and (shown := self._thought.push(text)):
                parts.append(Thought(shown))
            self._after_thinking = True
            self.thought += len(self._waiting)
            self._waiting.clear()  # those tokens were no part of the answer
        return parts

    def _answer(self, text: str) -> list[Part]:
        return self._said([Said(text)] if self._tools is None else self._tools.push(text))

    def _said(self, pieces: Iterable[Said | Called]) -> list[Part]:
        parts: list[Part] = []
        for piece in pieces:
            if self.stopped:
                break
            if isinstance(piece, Called):
                self._waiting.clear()
                if held := self._stops.finish():  # a call parts what comes before from what follows
                    parts.append(self._content(held))
                parts.append(piece)
            elif passed := self._stops.push(piece.text):
                parts.append(self._content(passed))
        return parts

    def _content(self, text: str) -> Content:
        """A stretch, with the tokens whose text begins in it: of "He", "ll" and "o!", which begin at 0, 2 and 4, one that ends
        at character 3 has the first two."""
        tokens = []
        while self._waiting and self._waiting[0].begins < self._stops.passed:
            tokens.append(self._waiting.popleft().token)
        return Content(text, tuple(tokens))


@dataclass(frozen=True)
class _Waiting:
    """A token that no content has yet. ``begins``: characters of the answer that came before its own."""

    token: Token
    begins: int


class _Trimmed:
    """Text without the white space around it, while it comes."""

    def __init__(self, *, begun: bool = False) -> None:
        self._begun, self._space = begun, ""

    def push(self, text: str) -> str:
        text = self._space + text if self._begun else text.lstrip()
        body = text.rstrip()
        self._space = text[len(body) :]
        self._begun = self._begun or bool(body)
        return body
