"""Text in bytes that a user gave: a file, or what came through a pipe."""

from __future__ import annotations

import codecs

from youtu_onnx.core.errors import UsageError

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
"""Byte order marks and the codec that takes each away. Notepad writes UTF-8's, ``>`` in PowerShell 5 UTF-16's."""


def encoding_of(data: bytes) -> str:
    """The codec that a byte order mark at the beginning names; ``utf-8`` without one."""
    return next((codec for mark, codec in MARKS if data.startswith(mark)), "utf-8")


def decoded(data: bytes, name: str) -> str:
    """The text, without a byte order mark. ``name``: where the bytes are from, for messages.

    Raises:
        UsageError: the bytes are no text in the encoding that their mark names, or no UTF-8.
    """
    codec = encoding_of(data)
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        called = codec.removesuffix("-sig").upper()
        begins = "begins as UTF-16 or UTF-32 does, but isn't" if codec[4:] in ("16", "32") else f"is not {called}"
        raise UsageError(
            f"{name} {begins}: byte {data[error.start] if error.start < len(data) else 0:#04x} at {error.start}",
            hint="save it as UTF-8, or convert it: iconv --from-code LATIN1 --to-code UTF-8",
        ) from error
    if codec == "utf-8" and data.count(0) * 4 >= len(data) > 1:
        raise UsageError(
            f"{name} has a zero in every second byte or so, as UTF-16 without a byte order mark has",
            hint="save it as UTF-8, or convert it: iconv --from-code UTF-16LE --to-code UTF-8",
        )
    return text
