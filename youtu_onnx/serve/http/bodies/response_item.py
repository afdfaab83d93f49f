"""Items of a conversation as OpenAI's Responses have them: messages, calls of tools and what these gave, reasoning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from youtu_onnx.serve.http.bodies.body import Said, Text, by_type
from youtu_onnx.serve.http.bodies.part import Content, joined
from youtu_onnx.serve.http.bodies.tool_call import CalledFunction, ToolCall

Id = Annotated[str, Field(max_length=256)]


class MessageItem(Said):
    """What somebody said."""

    type: Literal["message"] | None = None
    id: Id | None = None
    role: Literal["system", "developer", "user", "assistant"]
    content: Content = Field(description="Text, or a list of text parts.")

    def listed(self) -> dict[str, Any]:
        kind = "output_text" if self.role == "assistant" else "input_text"
        part: dict[str, Any] = {"type": kind, "text": joined(self.content)}
        if self.role == "assistant":
            part["annotations"] = []
        return {"type": "message", "status": "completed", "role": self.role, "content": [part]}


class CallItem(Said):
    """A call that the model made."""

    type: Literal["function_call"]
    id: Id | None = None
    call_id: Id
    name: Id
    arguments: Text = ""

    def listed(self) -> dict[str, Any]:
        return {
            "type": "function_call",
            "status": "completed",
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
        }


class OutputItem(Said):
    """What a call gave."""

    type: Literal["function_call_output"]
    id: Id | None = None
    call_id: Id
    output: Content = Field(description="Text, or a list of text parts.")

    def listed(self) -> dict[str, Any]:
        return {
            "type": "function_call_output",
            "status": "completed",
            "call_id": self.call_id,
            "output": joined(self.output),
        }


class ReasoningPart(Said):
    text: Text = ""


class ReasoningItem(Said):
    """What the model thought. Summaries are of other models: this one's thoughts are in ``content``."""

    type: Literal["reasoning"]
    id: Id | None = None
    summary: list[ReasoningPart] | None = None
    content: list[ReasoningPart] | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content or ())

    def listed(self) -> dict[str, Any]:
        return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": self.text}]}


class Reference(Said):
    """An item that this server made and still has."""

    type: Literal["item_reference"]
    id: Id


Item = MessageItem | CallItem | OutputItem | ReasoningItem

InputItem = Annotated[
    Annotated[MessageItem, Tag("[message]")]
    | Annotated[CallItem, Tag("[call]")]
    | Annotated[OutputItem, Tag("[output]")]
    | Annotated[ReasoningItem, Tag("[reasoning]")]
    | Annotated[Reference, Tag("[reference]")],
    by_type(
        {
            "message": "[message]",
            "function_call": "[call]",
            "function_call_output": "[output]",
            "reasoning": "[reasoning]",
            "item_reference": "[reference]",
        },
        default="message",
    ),
]


def messages(instructions: str | None, items: Iterable[Item]) -> list[dict[str, Any]]:
    """As chat templates read them: reasoning, text and calls that follow one another are one message of the assistant's."""
    made: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    turn: dict[str, Any] | None = None  # the assistant's, which may go on

    def assistant(*closed_by: str) -> dict[str, Any]:
        """Its message, or a new one where it has any of these already."""
        nonlocal turn
        if turn is None or any(turn.get(name) for name in closed_by):
            turn = {"role": "assistant", "content": ""}
            made.append(turn)
        return turn

    for item in items:
        match item:
            case ReasoningItem():
                if item.text:
                    assistant("reasoning_content", "content", "tool_calls")["reasoning_content"] = item.text
                continue
            case MessageItem(role="assistant"):
                assistant("content", "tool_calls")["content"] = joined(item.content)
                continue
            case CallItem():
                function = CalledFunction(name=item.name, arguments=item.arguments)
                called = ToolCall(id=item.call_id, function=function).for_template()
                assistant().setdefault("tool_calls", []).append(called)
                continue
            case MessageItem():
                role = "system" if item.role == "developer" else item.role
                made.append({"role": role, "content": joined(item.content)})
            case OutputItem():
                made.append({"role": "tool", "tool_call_id": item.call_id, "content": joined(item.output)})
        turn = None
    return made


def size(items: Sequence[Item]) -> int:
    """Characters of all that they say, about."""
    return sum(200 + len(str(item.listed())) for item in items)
