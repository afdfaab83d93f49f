"""How much of a text verifiers read. The text is a model's, or a stranger's who says so: none may keep them busy for long.

The longest thoughts of the generators, those beyond training included, have a third of these lines and half of these characters.
"""

from __future__ import annotations

import re

LINES = 160
"""Of a thought."""
CHARACTERS = 400
"""Of a line, or of an answer."""
DIGITS = 20
"""Of a number: arithmetic digit by digit takes time by its square."""
DAYS = 10_000
"""Between two dates: they are counted by months."""

_LONG_NUMBER = re.compile(rf"[0-9A-F]{{{DIGITS + 1}}}")


def readable(text: str) -> bool:
    """Whether a line, or an answer, is within bounds."""
    return len(text) <= CHARACTERS and _LONG_NUMBER.search(text) is None
