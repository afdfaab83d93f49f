"""An option of a provider whose values this project checks, and what such values may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.sizes import parse_size

Value = int | bool | str


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: ONNX Runtime's own.
        read: given the name and what a user wrote, the value. Raises UsageError where it can't be.
    """

    name: str
    read: Callable[[str, object], Value]


def one_of(*choices: str) -> Callable[[str, object], Value]:
    """A word of these."""

    def read(name: str, value: object) -> Value:
        if value not in choices:
            raise UsageError(f"{name} can't be {value!r}", hint=f"choose one of: {', '.join(choices)}")
        return str(value)

    return read


def switch(name: str, value: object) -> bool:
    """Yes or no: a bool, ``0``, ``1``, ``true`` or ``false``."""
    text = str(value).strip().lower()
    if text not in ("0", "1", "true", "false"):
        raise UsageError(f"{name} can't be {value!r}", hint="write 0 or 1")
    return text in ("1", "true")


def size(name: str, value: object) -> int:
    """Bytes: ``"4GiB"``, ``"512M"`` or ``"1000000"``; units are powers of 1024."""
    text = str(value).strip()
    read = parse_size(text)
    if read is None:
        raise UsageError(f"{name} can't be {text!r}", hint="write bytes, or a size like 4GiB")
    return read


def device(name: str, value: object) -> int:
    """Which of several devices, from 0."""
    text = str(value).strip()
    if not re.fullmatch(r"\d{1,4}", text):
        raise UsageError(f"{name} can't be {value!r}", hint="devices are counted from 0")
    return int(text)


DEVICE_ID = Option("device_id", device)
"""Called so by every provider that has several devices and numbers them."""

KERNELS = Option("kernels", one_of("native", "onnxruntime"))
"""Of the CPU: whose computes what this project has operators of its own for. Not an option of ONNX Runtime's."""
