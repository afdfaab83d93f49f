"""What comes in through stdin."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from youtu_onnx.cli import console
from youtu_onnx.core.decoding import decoded, encoding_of
from youtu_onnx.core.errors import UsageError, YoutuOnnxError

T = TypeVar("T")


def text() -> str:
    """All of it, less the newline that ends its last line.

    Raises:
        UsageError: it is no text.
        YoutuOnnxError: it can't be read.
    """
    return decoded(_reading(sys.stdin.buffer.read), "stdin").removesuffix("\n").removesuffix("\r")


def lines() -> Iterator[str]:
    """Its lines as they come, without white space around them and without empty ones. A line that is no text is told about and
    passed over.

    Raises:
        YoutuOnnxError: it can't be read.
    """
    number = 0
    for line in _in_pieces():
        number += 1
        try:
            found = decoded(line, f"line {number} of stdin").strip()
        except UsageError as error:
            console.fail(error)
            continue
        if found:
            yield found


def _in_pieces() -> Iterator[bytes]:
    """Lines in UTF-8. Those in UTF-16 don't end with one byte: all is read at once, from a file surely."""
    first = _reading(sys.stdin.buffer.readline)
    if encoding_of(first)[4:] in ("16", "32"):
        yield from decoded(first + _reading(sys.stdin.buffer.read), "stdin").encode().splitlines()
        return
    while first:
        yield first
        first = _reading(sys.stdin.buffer.readline)


def _reading(read: Callable[[], T]) -> T:
    try:
        return read()
    except OSError as error:  # a folder, a terminal that is gone, a descriptor for writing
        raise YoutuOnnxError(
            f"stdin can't be read: {error.strerror or error}", hint="pass text through a pipe, or a file"
        ) from error
