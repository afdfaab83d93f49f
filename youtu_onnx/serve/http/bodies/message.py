"""Messages of a conversation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from youtu_onnx.serve.http.bodies.body import Said, Text
from youtu_onnx.serve.http.bodies.part import Content, joined
from youtu_onnx.serve.http.bodies.tool_call import ToolCall
from youtu_onnx.text.messages import REASONING_FIELDS

HELD = ("audio", "image", "images", "video", "videos", "file", "files", "documents", "attachments")
"""Names under which messages hold for the model what is no text."""

CONTINUED = ("prefix", "partial")
"""Names by which servers are asked to go on with an assistant's message."""

OLD_CALL = "function_call"
"""The id of a call in the form that tools replaced, which had none."""


class Message(Said):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = Field(None, description="Text, or a list of text parts.")
    name: str | None = Field(None, max_length=256)
    tool_calls: list[ToolCall] | None = Field(None, max_length=128, description="Of an assistant's message.")
    tool_call_id: str | None = Field(None, max_length=256, description="Of a tool's message: which call it answers.")
    reasoning_content: Text | None = Field(None, description="Of an assistant's message: what it thought.")
    refusal: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        """In today's names. What the model would have to see and can't is refused; all else that is unknown is passed over."""
        if not isinstance(data, dict):
            return data
        for name in (*HELD, *CONTINUED):
            if data.get(name):
                can = "reads text only" if name in HELD else "begins each message itself"
                raise ValueError(f"{name} of a message is not supported: the model {can}")
        data = dict(data)
        if data.get("reasoning_content") is None:
            named = (data[name] for name in REASONING_FIELDS if isinstance(data.get(name), str))
            data["reasoning_content"] = next(named, None)
        if data.get("role") == "function":
            data |= {"role": "tool", "tool_call_id": OLD_CALL}
        if isinstance(data.get("function_call"), dict) and not data.get("tool_calls"):
            data["tool_calls"] = [{"id": OLD_CALL, "function": data["function_call"]}]
        return data

    @model_validator(mode="after")
    def _fits_its_role(self) -> Message:
        if self.role != "assistant" and (self.tool_calls or self.reasoning_content or self.refusal):
            raise ValueError("tool_calls, reasoning_content and refusal belong to assistant messages")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs tool_call_id")
        if self.role != "tool" and self.tool_call_id is not None:
            raise ValueError("tool_call_id belongs to tool messages")
        if self.content is None and not self._may_say_nothing:
            raise ValueError("content is missing")
        return self

    @property
    def _may_say_nothing(self) -> bool:
        """A tool that gave nothing, and an assistant that called, thought or refused, or of which null was sent back."""
        sent = "content" in self.model_fields_set
        if self.role == "assistant":
            return sent or bool(self.tool_calls or self.reasoning_content) or self.refusal is not None
        return self.role == "tool" and sent

    def for_template(self) -> dict[str, Any]:
        """As chat templates read it."""
        fields: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": joined(self.content) or self.refusal or "",
        }
        if self.name is not None:
            fields["name"] = self.name
        if self.reasoning_content:
            fields["reasoning_content"] = self.reasoning_content
        if self.tool_call_id is not None:
            fields["tool_call_id"] = self.tool_call_id
        if self.tool_calls:
            fields["tool_calls"] = [call.for_template() for call in self.tool_calls]
        return fields
