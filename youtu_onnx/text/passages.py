"""Text that a model reads, to be measured or calibrated on: passages of token ids, each read from its beginning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from youtu_onnx.core.decoding import decoded
from youtu_onnx.core.errors import UsageError
from youtu_onnx.text.tokenizer import Tokenizer

LEAST = 2
"""Tokens of a passage: the first is only read, each further one is predicted."""


def passages(files: Sequence[Path], tokenizer: Tokenizer, *, window: int, tokens: int) -> list[list[int]]:
    """The files' text as one, its first ``tokens`` tokens cut into passages of ``window`` (the last may be shorter).

    Raises:
        UsageError: a file can't be read or is no text, numbers that can't be, or too little text.
    """
    if window < LEAST or tokens < LEAST:
        raise UsageError(f"passages of {window} tokens out of {tokens} can't be", hint=f"choose numbers from {LEAST} on")
    ids: list[int] = []
    for file in files:
        ids += tokenizer.encode(_read(file))
        if len(ids) >= tokens:
            break
    ids = ids[:tokens]
    cut = [ids[start : start + window] for start in range(0, len(ids), window)]
    found = [one for one in cut if len(one) >= LEAST]
    if not found:
        raise UsageError("the text has no two tokens", hint="name a file with more text")
    return found


def _read(file: Path) -> str:
    try:
        return decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or error}", hint="name a text file") from error
