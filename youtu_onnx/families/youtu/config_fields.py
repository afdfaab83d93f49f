"""Fields of a ``config.json``, read one by one; faults are gathered, so that a user sees all of them at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class ConfigFields:
    """Each method returns a usable value even where it notes a fault, so that reading goes on."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.faults: list[str] = []

    def size(self, name: str, default: int | None = None) -> int:
        """A positive whole number; ``default`` where the field is absent, and without one that is a fault."""
        value = self.config.get(name, default)
        if type(value) is int and 0 < value < 2**31:
            return value
        self.faults.append(
            f"{name} is {value!r}; expected a positive whole number" if name in self.config else f"{name} is missing"
        )
        return 2  # any even size: keeps the later checks from failing a second time

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.faults.append(f"{name} is {value!r}; expected true or false")
        return bool(value)

    def positive(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            self.faults.append(f"{name} is {value!r}; expected a positive number")
            return 1.0
        return float(value)

    def token(self, name: str, value: Any, vocab: int) -> int | None:
        if value is None:
            return None
        if type(value) is not int or not 0 <= value < vocab:
            self.faults.append(f"{name} is {value!r}; expected a token id below vocab_size {vocab}")
            return None
        return value
