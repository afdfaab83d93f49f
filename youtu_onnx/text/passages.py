"""Text that a model reads, to be measured or calibrated on: passages of token ids, each read from its beginning.

A file whose name ends in ``.jsonl`` has a document on each line: ``{"messages": [...]}``, a chat that is rendered by the model's
own template, or ``{"text": "..."}``. Any other file is one text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from youtu_onnx.core.decoding import decoded
from youtu_onnx.core.errors import UsageError
from youtu_onnx.text.template import ChatTemplate
from youtu_onnx.text.tokenizer import Tokenizer

LEAST = 2
"""Tokens of a passage: the first is only read, each further one is predicted."""


def passages(
    files: Sequence[Path], tokenizer: Tokenizer, template: ChatTemplate | None = None, *, window: int, tokens: int
) -> list[list[int]]:
    """The files' documents as one, its first ``tokens`` tokens cut into passages of ``window`` (the last may be shorter).

    Args:
        template: for chats; None where the model has none.

    Raises:
        UsageError: a file can't be read or is no text, a line that is no document, numbers that can't be, or too little text.
    """
    if window < LEAST or tokens < LEAST:
        raise UsageError(f"passages of {window} tokens out of {tokens} can't be", hint=f"choose numbers from {LEAST} on")
    ids: list[int] = []
    for document in _documents(files, tokenizer, template):
        ids += document
        if len(ids) >= tokens:
            break
    ids = ids[:tokens]
    cut = [ids[start : start + window] for start in range(0, len(ids), window)]
    found = [one for one in cut if len(one) >= LEAST]
    if not found:
        raise UsageError("the text has no two tokens", hint="name a file with more text")
    return found


def _documents(files: Sequence[Path], tokenizer: Tokenizer, template: ChatTemplate | None) -> Iterator[list[int]]:
    for file in files:
        text = _read(file)
        if file.suffix != ".jsonl":
            yield tokenizer.encode(text)
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield _document(line, f"{file}, line {number}", tokenizer, template)


def _document(line: str, where: str, tokenizer: Tokenizer, template: ChatTemplate | None) -> list[int]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no JSON: {error}", hint="name a file with one JSON object a line") from error
    match found:
        case {"messages": list(messages)} if all(isinstance(one, dict) for one in messages):
            if template is None:
                raise UsageError(f"{where} is a chat, and the model has no chat template", hint="name a file of plain text")
            try:
                return template.encode_chat(messages, add_generation_prompt=False)
            except UsageError as error:
                raise UsageError(f"{where}: {error.message}", hint=error.hint) from error
        case {"text": str(text)}:
            return tokenizer.encode(text)
    raise UsageError(
        f"{where} has neither messages nor a text",
        hint='write {"messages": [{"role": "user", "content": "…"}, …]} or {"text": "…"} on each line',
    )


def _read(file: Path) -> str:
    try:
        return decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or error}", hint="name a text file") from error
