"""The bodies of this server's own routes."""

from __future__ import annotations

import re

from pydantic import ConfigDict, Field, model_validator

from youtu_onnx.serve.http.bodies.body import Body, Stops, Text, stop_strings
from youtu_onnx.serve.http.bodies.message import Message
from youtu_onnx.serve.http.bodies.sampling import SamplingFields


class Chat(SamplingFields):
    """POST /chat"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "What is 47 + 38?"},
                {"prompt": "What is 47 + 38?", "stream": True, "max_tokens": 64, "temperature": 0.7},
            ]
        }
    )

    model: str | None = Field(None, max_length=500, description="The served model's id, one with an adapter, or left out.")
    prompt: Text | None = Field(None, description="What to say to the model.")
    messages: list[Message] | None = Field(None, min_length=1, max_length=10_000, description="Or a whole conversation.")
    max_tokens: int | None = Field(None, ge=1, lt=1 << 31)
    stop: Stops | None = None
    enable_thinking: bool | None = Field(None, description="Ask the model to think first, or not to.")
    stream: bool | None = Field(None, description="Server-Sent Events, a token at a time.")

    @model_validator(mode="after")
    def _says_something(self) -> Chat:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either prompt or messages")
        if self.prompt is not None and not re.search(r"\S", self.prompt):
            raise ValueError("the prompt is empty")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        return stop_strings(self.stop)


class Render(Body):
    """POST /render"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"markdown": "**Pythagoras**: $a^2 + b^2 = c^2$"}]})

    markdown: Text


class Explain(Body):
    """POST /explain"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [{"role": "user", "content": "What is 47 + 38?"}],
                    "thinking": "47+38:7+8=15,4+3+1=8;85",
                    "answer": "85",
                }
            ]
        }
    )

    model: str | None = Field(None, max_length=500, description="The served model's id, one with an adapter, or left out.")
    messages: list[Message] = Field(min_length=1, max_length=10_000, description="What the reply is to.")
    thinking: Text = Field("", description="The reply's thought, without the tags around it.")
    answer: Text = Field(description="What follows the thought.")
    enable_thinking: bool | None = Field(None, description="As the reply was asked for.")


class LoadAdapter(Body):
    """POST /adapters"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "support"}]})

    name: str = Field(max_length=64, description="Of a folder in the server's folder of adapters.")
