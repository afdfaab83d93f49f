"""Messages and tools as templates read them: plain JSON, whatever the caller passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from youtu_onnx.core.errors import UsageError

REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Names that an assistant's thinking comes under; templates read the first, gpt-oss's the second."""


def clean_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Plain JSON copies without null fields; lists of text parts are joined; thinking gets its standard name."""
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence):
        raise UsageError(f'messages is a {type(messages).__name__}; expected a list of {{"role": …, "content": …}} objects')
    if not messages:
        raise UsageError("the conversation has no messages", hint='pass at least one: {"role": "user", "content": "…"}')
    cleaned = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str) or not message["role"]:
            raise UsageError(f"message {number} has no role", hint='a message is {"role": "user", "content": "…"}')
        fields = {key: value for key, value in _plain(message, f"message {number}").items() if value is not None}
        if "content" in fields:
            fields["content"] = _content(fields["content"], number)
        elif "tool_calls" not in fields:
            raise UsageError(f"message {number} has no content", hint='a message is {"role": "user", "content": "…"}')
        reasoning = next((fields[name] for name in REASONING_FIELDS if name in fields), None)
        if reasoning is not None:
            fields = {"thinking": reasoning, **fields, "reasoning_content": reasoning}
        cleaned.append(fields)
    return cleaned


def _content(content: Any, number: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        return "".join(part["text"] for part in content)
    raise UsageError(
        f"the content of message {number} is not text", hint="Youtu-LLM reads text only: pass a string, or a list of text parts"
    )


def clean_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[Any] | None:
    if tools is None:
        return None
    if isinstance(tools, (str, Mapping)) or not all(isinstance(tool, Mapping) for tool in tools):
        raise UsageError(
            "tools is not a list of JSON schemas", hint='a tool is {"type": "function", "function": {"name": …, "parameters": …}}'
        )
    return [_plain(tool, "a tool") for tool in tools]


def _plain(value: Any, where: str) -> Any:
    """A copy of plain JSON types alone, so that a template's sandbox meets no object with methods."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    raise UsageError(f"{where} holds a {type(value).__name__}; expected what JSON can say")
