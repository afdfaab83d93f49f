"""Differences between two tokenizers, as sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

SHOWN_IDS, SHOWN_CHARACTERS = 12, 60
OTHERWISE = "a bundle would read texts otherwise than transformers"


def ids_differ(what: str, theirs: Sequence[int], ours: Sequence[int]) -> str:
    """``what`` has both ids: the first ones, or those where they part in a long list."""
    at = parting(theirs, ours)
    start = max(0, at - SHOWN_IDS // 2) if max(len(theirs), len(ours)) > SHOWN_IDS else 0
    behind = f" from id {start} on" if start else ""
    return f"{what} is{behind} {ids(theirs[start:])} to transformers, and {ids(ours[start:])} in the bundle"


def texts_differ(what: str, theirs: str, ours: str) -> str:
    at = max(0, parting(theirs, ours) - SHOWN_CHARACTERS // 4)
    behind = f" from character {at} on" if at else ""
    return f"{what} is{behind} {short(theirs[at:])} to transformers, and {short(ours[at:])} in the bundle"


def parting(one: Sequence[object], other: Sequence[object]) -> int:
    """The first place at which two sequences differ."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def ids(listed: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, listed[:SHOWN_IDS])) + ", …" * (len(listed) > SHOWN_IDS) + "]"


def short(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…")


def narrowed(text: str, differs: Callable[[str], bool]) -> str:
    """A short part of a text of which something is true that is true of the whole."""
    while len(text) > 1:
        middle = len(text) // 2
        parts = (text[:middle], text[middle:], text[1:], text[:-1])
        half = next((part for part in parts if differs(part)), None)
        if half is None:
            break
        text = half
    return text
