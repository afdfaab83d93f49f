"""Messages of a conversation."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from youtu_onnx.serve.http.bodies.body import Body, BodyWithoutOff, Text


class TextPart(Body):
    type: Literal["text", "refusal"]
    text: Text | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _has_text(self) -> TextPart:
        if (self.text is None) == (self.refusal is None):
            raise ValueError('a part of a message is {"type": "text", "text": …}; the model reads text only')
        return self


Content = Text | list[TextPart]


class CalledFunction(Body):
    name: str = Field(max_length=256)
    arguments: Text = Field(description="JSON text.")


class ToolCall(Body):
    id: str = Field(max_length=256)
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BodyWithoutOff):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = Field(None, description="Text, or a list of text parts.")
    name: str | None = Field(None, max_length=256)
    tool_calls: list[ToolCall] | None = Field(None, max_length=128, description="Of an assistant's message.")
    tool_call_id: str | None = Field(None, max_length=256, description="Of a tool's message: which call it answers.")
    reasoning_content: Text | None = Field(None, description="Of an assistant's message: what it thought.")
    refusal: Text | None = None

    _off: ClassVar[frozenset[str]] = frozenset({"annotations", "audio", "function_call"})

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        """What official clients send back of a reply without its having been there."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not (key in cls._off and value in (None, []))}

    @model_validator(mode="after")
    def _fits_its_role(self) -> Message:
        if self.role != "assistant" and (self.tool_calls or self.reasoning_content is not None or self.refusal is not None):
            raise ValueError("tool_calls, reasoning_content and refusal belong to assistant messages")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs tool_call_id")
        if self.role != "tool" and self.tool_call_id is not None:
            raise ValueError("tool_call_id belongs to tool messages")
        if self.content is None and self.role != "assistant":
            raise ValueError("content is missing")
        if self.role == "assistant" and self.content is None and not self.tool_calls and self.refusal is None:
            raise ValueError("content is missing, and there are no tool_calls")
        return self

    def for_template(self) -> dict[str, Any]:
        """As chat templates read it."""
        fields: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": _joined(self.content) or self.refusal or "",
        }
        if self.name is not None:
            fields["name"] = self.name
        if self.reasoning_content:
            fields["reasoning_content"] = self.reasoning_content
        if self.tool_call_id is not None:
            fields["tool_call_id"] = self.tool_call_id
        if self.tool_calls:
            fields["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": _parsed(call.function.arguments)},
                }
                for call in self.tool_calls
            ]
        return fields


def _joined(content: str | list[TextPart] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text if part.text is not None else part.refusal or "" for part in content)


def _parsed(arguments: str) -> Any:
    """Templates write objects as JSON in the model's own way. What is no object stays the text that it is."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments
