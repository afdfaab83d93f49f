"""Conversations in files: JSON with OpenAI's messages, which can be read again, or Markdown, for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from youtu_onnx.core import atomic
from youtu_onnx.core.decoding import decoded
from youtu_onnx.core.errors import UsageError, YoutuOnnxError

Message = dict[str, str]
HEADS = {"system": "System", "user": "You", "assistant": "Model"}
MARKDOWN = (".md", ".markdown")


def save(path: Path, model: str, messages: Sequence[Message]) -> None:
    """Whole or not at all. A file that is no conversation isn't replaced.

    Raises:
        UsageError: something else is there.
        YoutuOnnxError: it can't be written.
    """
    as_markdown = path.suffix.lower() in MARKDOWN
    if path.exists() and not as_markdown:
        load(path)
    elif path.exists():
        raise UsageError(f"{path} is there already", hint="name another file")
    text = _markdown(model, messages) if as_markdown else json.dumps(_described(model, messages), ensure_ascii=False, indent=1)
    try:
        atomic.write_text(path, text + "\n")
    except OSError as error:
        raise YoutuOnnxError(f"can't write {path}: {error.strerror or error}", hint="name a file in a folder of yours") from error


def load(path: Path) -> list[Message]:
    """The messages of a file: what :func:`save` wrote, or a list of messages alone.

    Raises:
        UsageError: it can't be read, or is no conversation.
    """
    try:
        found = json.loads(decoded(path.read_bytes(), str(path)))
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror or error}", hint="/save FILE writes one") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no conversation: {error}", hint="/save FILE writes one, as JSON") from error
    messages = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise UsageError(f"{path} is no conversation: it has no list of messages", hint="/save FILE writes one, as JSON")
    kept = ("role", "content", "reasoning_content")
    return [{name: message[name] for name in kept if name in message} for message in messages]


def _is_message(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and found.get("role") in HEADS
        and isinstance(found.get("content"), str)
        and isinstance(found.get("reasoning_content", ""), str)
    )


def _described(model: str, messages: Sequence[Message]) -> dict[str, Any]:
    return {"model": model, "messages": list(messages)}


def _markdown(model: str, messages: Sequence[Message]) -> str:
    parts = [f"# A conversation with {model}"]
    for message in messages:
        parts.append(f"## {HEADS[message['role']]}")
        if thought := message.get("reasoning_content"):
            parts.append("\n".join(f"> {line}".rstrip() for line in thought.splitlines()))
        parts.append(message["content"])
    return "\n\n".join(parts)
