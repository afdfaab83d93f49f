"""Tools that a model may call, and what its answer has to look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from youtu_onnx.serve.http.bodies.body import Body, Text, by_type

STRICT = "Refuse a schema that can't be enforced to the letter. Otherwise what can't be enforced is passed over."


class ToolFunction(Body):
    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    description: Text | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of an object.")
    strict: bool | None = Field(None, description=STRICT)

    def for_template(self) -> dict[str, Any]:
        """As chat templates read it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


class Tool(Body):
    type: Literal["function"]
    function: ToolFunction


class NamedFunction(Body):
    name: str = Field(max_length=256)


class NamedTool(Body):
    type: Literal["function"]
    function: NamedFunction


class AllowedNames(Body):
    mode: Literal["auto", "required"]
    tools: list[NamedTool] = Field(min_length=1, max_length=128)


class AllowedTools(Body):
    """Of the tools that the model hears of, those that it may call."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedNames


ToolChoice = (
    Literal["none", "auto", "required"]
    | Annotated[
        Annotated[NamedTool, Tag("[named]")] | Annotated[AllowedTools, Tag("[allowed]")],
        by_type({"function": "[named]", "allowed_tools": "[allowed]"}),
    ]
)


class PlainFormat(Body):
    type: Literal["text", "json_object"]


class NamedSchema(Body):
    name: str | None = Field(None, max_length=256)
    description: Text | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema", description="JSON Schema; where left out, any object.")
    strict: bool | None = Field(None, description=STRICT)


class SchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: NamedSchema


AnswerFormat = Annotated[
    Annotated[PlainFormat, Tag("[plain]")] | Annotated[SchemaFormat, Tag("[schema]")],
    by_type({"text": "[plain]", "json_object": "[plain]", "json_schema": "[schema]"}),
]
