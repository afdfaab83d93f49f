"""The body of ``POST /v1/responses``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, Tag, model_validator

from youtu_onnx.serve.http.bodies.body import OFF, Body, Text, by_type
from youtu_onnx.serve.http.bodies.chat_completion import TemplateOptions
from youtu_onnx.serve.http.bodies.response_item import Id, InputItem
from youtu_onnx.serve.http.bodies.sampling import SamplingFields
from youtu_onnx.serve.http.bodies.tool import STRICT, PlainFormat, ToolFunction

LOGPROBS = "message.output_text.logprobs"


class FunctionTool(ToolFunction):
    """A tool as Responses have it: flat."""

    type: Literal["function"]

    @model_validator(mode="before")
    @classmethod
    def _is_a_function(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(kind := data.get("type"), str) and kind != "function":
            raise ValueError(f"tools of type {kind[:40]!r} are not here: the model calls functions, which the client runs")
        return data


class NamedFunctionTool(Body):
    type: Literal["function"]
    name: Id


class AllowedFunctionTools(Body):
    """Of the tools that the model hears of, those that it may call."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedFunctionTool] = Field(min_length=1, max_length=128)


Choice = (
    Literal["none", "auto", "required"]
    | Annotated[
        Annotated[NamedFunctionTool, Tag("[named]")] | Annotated[AllowedFunctionTools, Tag("[allowed]")],
        by_type({"function": "[named]", "allowed_tools": "[allowed]"}),
    ]
)


class SchemaText(Body):
    type: Literal["json_schema"]
    name: Id | None = None
    description: Text | None = None
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema.")
    strict: bool | None = Field(None, description=STRICT)


class TextOptions(Body):
    format: (
        Annotated[
            Annotated[PlainFormat, Tag("[plain]")] | Annotated[SchemaText, Tag("[schema]")],
            by_type({"text": "[plain]", "json_object": "[plain]", "json_schema": "[schema]"}),
        ]
        | None
    ) = Field(None, description="The answer is JSON, or JSON of a schema. Thinking before it is free.")
    verbosity: Literal["medium"] | None = None


class Reasoning(Body):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None, description="none: don't think; any other: think. Models that can't be told refuse it."
    )
    summary: Literal["auto"] | None = None


class ResponseStreamOptions(Body):
    include_obfuscation: bool | None = None


class CreateResponse(SamplingFields):
    """POST /v1/responses"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"input": "What is 47 + 38?"},
                {"input": [{"role": "user", "content": "What is 47 + 38?"}], "stream": True, "store": False},
            ]
        }
    )

    off: ClassVar[Mapping[str, Callable[[Any], bool]]] = {
        **OFF,
        "background": lambda value: value is False,
        "conversation": lambda value: False,
        "context_management": lambda value: value == [],
        "max_tool_calls": lambda value: isinstance(value, int),  # of tools that a server runs: here are none
        "prompt": lambda value: False,
        "truncation": lambda value: value == "disabled",
    }

    model: str | None = Field(None, max_length=500, description="The served model's id, one with an adapter, or left out.")
    input: Text | Annotated[list[InputItem], Field(max_length=10_000)] | None = Field(
        None, description="What the user says, or items of a conversation."
    )
    instructions: Text | None = Field(None, description="A system message before all others, of this response alone.")
    previous_response_id: Id | None = Field(None, description="Go on after this response, as long as the server remembers it.")
    store: bool | None = Field(None, description="Remember the response; true where left out.")
    stream: bool | None = Field(None, description="Server-Sent Events, a token at a time.")
    stream_options: ResponseStreamOptions | None = None
    max_output_tokens: int | None = Field(None, ge=1, lt=1 << 31, description="The reply's length, thinking included.")
    text: TextOptions | None = None
    tools: list[FunctionTool] | None = Field(None, max_length=128)
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = Field(None, description="Whether a reply may hold several calls.")
    reasoning: Reasoning | None = None
    include: list[Annotated[str, Field(max_length=100)]] | None = Field(
        None, max_length=20, description=f"{LOGPROBS} gives log probabilities; what there is nothing of is passed over."
    )
    top_logprobs: int | None = Field(None, ge=0, le=20, description="Log probabilities of so many likeliest tokens.")
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        None, max_length=16, description="Kept with the response."
    )
    user: Id | None = None
    chat_template_kwargs: TemplateOptions | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> CreateResponse:
        names = [tool.name for tool in self.tools or ()]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        if unknown := self.chosen - set(names):
            raise ValueError(f"tool_choice names {min(unknown)!r}, which is none of the tools")
        if self.tool_choice == "required" and not names:
            raise ValueError("tool_choice goes with tools")
        if not self.input and self.previous_response_id is None and not self.instructions:
            raise ValueError("there is no input")
        return self

    @property
    def chosen(self) -> frozenset[str]:
        """Names of the tools that alone may be called; none: all may."""
        match self.tool_choice:
            case NamedFunctionTool(name=name):
                return frozenset((name,))
            case AllowedFunctionTools(tools=tools):
                return frozenset(tool.name for tool in tools)
        return frozenset()

    @property
    def required(self) -> bool:
        """A tool has to be called."""
        named = isinstance(self.tool_choice, NamedFunctionTool)
        return named or self.tool_choice == "required" or getattr(self.tool_choice, "mode", None) == "required"

    @property
    def enable_thinking(self) -> bool | None:
        if self.chat_template_kwargs is not None and self.chat_template_kwargs.enable_thinking is not None:
            return self.chat_template_kwargs.enable_thinking
        effort = None if self.reasoning is None else self.reasoning.effort
        return None if effort is None else effort != "none"

    @property
    def logprobs(self) -> int | None:
        """As :class:`youtu_onnx.serve.engine.request.Request` has them."""
        return (self.top_logprobs or 0) if LOGPROBS in (self.include or ()) or self.top_logprobs else None
