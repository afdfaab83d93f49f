"""A reply as items of OpenAI's Responses, and the events that tell of them while they are written."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from youtu_onnx.serve.engine.request import Token
from youtu_onnx.serve.http.replies import Json
from youtu_onnx.serve.text.reply import Content, Part, Thought
from youtu_onnx.serve.text.tool_calls import Called

Logprobs = Callable[[Sequence[Token]], list[Json]]


class ResponseWriter:
    """Attributes:
    items: those that have begun, as a response's ``output`` has them.
    """

    def __init__(self, logprobs: Logprobs | None = None) -> None:
        """``logprobs``: None where none are wanted."""
        self.items: list[Json] = []
        self._logprobs = logprobs
        self._open: Json | None = None

    def push(self, parts: Sequence[Part]) -> list[Json]:
        """The events, but for their numbers, that these parts make."""
        return [event for part in parts for event in self._part(part)]

    def finish(self, *, complete: bool) -> list[Json]:
        """The last ones. A response has something in it, if only an empty message."""
        events = [] if self.items else self._begin("message")
        return events + self._close("completed" if complete else "incomplete")

    def _part(self, part: Part) -> list[Json]:
        match part:
            case Thought(text):
                return [*self._in("reasoning"), self._more("response.reasoning_text.delta", text)]
            case Content(text, tokens):
                events = self._in("message")
                found = self._logprobs(tokens) if self._logprobs else []
                self._text_part()["logprobs"] += found
                return [*events, self._more("response.output_text.delta", text) | {"logprobs": found}]
            case Called(_, None, arguments):
                return [self._arguments(arguments)]
            case Called(_, name, arguments):
                events = [*self._close("completed"), *self._begin("function_call", name)]
                return [*events, self._arguments(arguments)] if arguments else events

    def _in(self, kind: str) -> list[Json]:
        """The events until an item of this kind is open."""
        if self._open is not None and self._open["type"] == kind:
            return []
        return [*self._close("completed"), *self._begin(kind)]

    def _begin(self, kind: str, name: str | None = None) -> list[Json]:
        prefix = {"message": "msg", "reasoning": "rs", "function_call": "fc"}[kind]
        item: Json = {"id": f"{prefix}_{secrets.token_hex(16)}", "type": kind, "status": "in_progress"}
        match kind:
            case "message":
                item |= {"role": "assistant", "content": []}
            case "reasoning":
                item |= {"summary": [], "content": []}
            case "function_call":
                item |= {"call_id": f"call_{secrets.token_hex(12)}", "name": name, "arguments": ""}
        self._open = item
        self.items.append(item)
        events = [{"type": "response.output_item.added", "output_index": self._index, "item": _copy(item)}]
        if kind != "function_call":
            part: Json = {"type": "reasoning_text", "text": ""}
            if kind == "message":
                part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            item["content"].append(part)
            events.append(self._event("response.content_part.added", part=_copy(part)))
        return events

    def _close(self, status: str) -> list[Json]:
        item = self._open
        if item is None:
            return []
        item["status"] = status
        if item["type"] == "function_call":
            told = {"arguments": item["arguments"], "name": item["name"]}
            events = [self._event("response.function_call_arguments.done", content=False) | told]
        else:
            part, message = self._text_part(), item["type"] == "message"
            done = self._event("response.output_text.done" if message else "response.reasoning_text.done")
            done |= {"text": part["text"]} | ({"logprobs": part["logprobs"]} if message else {})
            events = [done, self._event("response.content_part.done", part=_copy(part))]
        events.append({"type": "response.output_item.done", "output_index": self._index, "item": _copy(item)})
        self._open = None
        return events

    def _more(self, kind: str, text: str) -> Json:
        self._text_part()["text"] += text
        return self._event(kind) | {"delta": text}

    def _arguments(self, text: str) -> Json:
        assert self._open is not None
        self._open["arguments"] += text
        return self._event("response.function_call_arguments.delta", content=False) | {"delta": text}

    def _event(self, kind: str, *, content: bool = True, part: Json | None = None) -> Json:
        assert self._open is not None
        event: Json = {"type": kind, "item_id": self._open["id"], "output_index": self._index}
        return event | ({"content_index": 0} if content else {}) | ({} if part is None else {"part": part})

    def _text_part(self) -> Json:
        assert self._open is not None
        part: Json = self._open["content"][0]
        return part

    @property
    def _index(self) -> int:
        return len(self.items) - 1


def _copy(item: Json) -> Json:
    """As it is now."""
    return {name: list(value) if isinstance(value, list) else value for name, value in item.items()}
