"""Fields of a ``config.json``, read one by one; faults are gathered, so that a user sees all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LARGEST = 2**127
"""Larger numbers are infinite in float32, or soon are."""


class ConfigFields:
    """Each method returns a usable value even where it notes a fault, so that reading goes on."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.faults: list[str] = []

    def size(self, name: str, default: int | None = None) -> int:
        """A positive whole number; ``default`` where the field is absent, and without one that is a fault."""
        value = self.config.get(name, default)
        if _is_size(value):
            return int(value)
        if name in self.config:
            self.fault(name, value, "a positive whole number")
        else:
            self.faults.append(f"{name} is missing")
        return 2  # any even size: keeps the later checks from failing a second time

    def readable_size(self, name: str) -> int | None:
        """What :meth:`size` reads, for what depends on it; None where that is a fault."""
        value = self.config.get(name)
        return value if _is_size(value) else None

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(name, value, "true or false")
        return bool(value)

    def positive(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < LARGEST:
            self.fault(name, value, "a positive number")
            return 1.0
        return float(value)

    def token(self, name: str, value: Any, vocab: int) -> int | None:
        if value is None:
            return None
        if type(value) is not int or not 0 <= value < vocab:
            self.fault(name, value, f"a token id below vocab_size {vocab}")
            return None
        return value

    def tokens(self, vocab: int) -> dict[str, Any]:
        """``bos_token_id``, ``pad_token_id`` and ``eos_token_ids``, of a config that may name one end or several."""
        eos = self.config.get("eos_token_id")
        ends = eos if isinstance(eos, (list, tuple)) else [] if eos is None else [eos]
        single = ("bos_token_id", "pad_token_id")
        found: dict[str, Any] = {name: self.token(name, self.config.get(name), vocab) for name in single}
        return found | {"eos_token_ids": tuple(self.token("eos_token_id", one, vocab) for one in ends)}

    def fault(self, name: str, value: Any, expected: str) -> None:
        self.faults.append(f"{name} is {shown(value)}; expected {expected}")


def shown(value: Any) -> str:
    """A value of a config in a message: long ones are cut."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31
