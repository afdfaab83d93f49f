"""Calls of tools in an assistant's messages."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from youtu_onnx.serve.http.bodies.body import Said, Text


class CalledFunction(Said):
    name: str = Field(max_length=256)
    arguments: Text | dict[str, Any] | None = Field(None, description="JSON text.")

    @property
    def value(self) -> Any:
        """Templates write objects as JSON in the model's own way. What is no object stays the text that it is."""
        if not isinstance(self.arguments, str):
            return self.arguments or {}
        if not self.arguments.strip():
            return {}
        try:
            value = json.loads(self.arguments)
        except (ValueError, RecursionError):
            return self.arguments
        return value if isinstance(value, dict) else self.arguments


class ToolCall(Said):
    id: str = Field(max_length=256)
    type: Literal["function"] | None = "function"
    function: CalledFunction

    def for_template(self) -> dict[str, Any]:
        """As chat templates read it."""
        return {"id": self.id, "type": "function", "function": {"name": self.function.name, "arguments": self.function.value}}
