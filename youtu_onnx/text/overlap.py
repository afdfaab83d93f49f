"""What of a text, at its end, may be the beginning of something that is looked for while the text still comes."""

from __future__ import annotations


def overlap(text: str, sought: str) -> int:
    """Length of the longest end of ``text`` that begins ``sought``, short of all of it: of ``"a <th"`` and ``"<think>"``, 3."""
    return next((n for n in range(min(len(text), len(sought) - 1), 0, -1) if text.endswith(sought[:n])), 0)
