"""Caches of sequences that ended, kept because others may begin like them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from youtu_onnx.runtimes.batch import RowCache

WORTH_COPYING = 16
"""Tokens that a prompt must share with a cache before rows are copied: fewer are computed as quickly."""
WORTH_KEEPING = 32
"""Tokens of a cache that must be beyond the shared ones for it to be left whole: what would be lost if it was taken over."""


@dataclass(eq=False)
class Rows:
    """A cache, and the tokens whose rows are in it."""

    cache: RowCache
    ids: list[int]


class Prefixes:
    """Kept caches, the least recently used first to go. Used by one thread."""

    def __init__(self) -> None:
        self._kept: list[Rows] = []

    @property
    def nbytes(self) -> int:
        return sum(rows.cache.nbytes for rows in self._kept)

    def keep(self, rows: Rows) -> None:
        """Remember a sequence that ended. One that begins another kept one adds nothing and isn't kept."""
        if not rows.ids or any(common(rows.ids, other.ids) == len(rows.ids) for other in self._kept):
            return
        self._kept = [other for other in self._kept if common(rows.ids, other.ids) < len(other.ids)]
        self._kept.append(rows)

    def drop_oldest(self) -> bool:
        """Free the least recently used; False if there is none."""
        if not self._kept:
            return False
        del self._kept[0]
        return True

    def begin(self, rows: Rows, prompt: Sequence[int], running: Iterable[Rows]) -> int:
        """Fill an empty cache with what is there of a prompt, in kept caches or running ones; returns its length.

        At least the prompt's last token is left to be computed: its logits are wanted. A kept cache that the prompt continues is
        taken over, others are copied from.
        """
        best, shared = None, WORTH_COPYING - 1
        for other in (*self._kept, *running):
            length = min(common(prompt, other.ids), len(prompt) - 1)
            if length > shared:
                best, shared = other, length
        if best is None:
            return 0
        if best in self._kept:
            self._kept.remove(best)
            if len(best.ids) - shared < WORTH_KEEPING:
                best.cache.truncate(shared)
                rows.cache, rows.ids = best.cache, best.ids[:shared]
                return shared
            self._kept.append(best)  # used just now
        rows.cache.begin_like(best.cache, shared)
        rows.ids = list(prompt[:shared])
        return shared

    def clear(self) -> None:
        self._kept.clear()


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two sequences begin with in common; bisection over slices, which compare fast."""
    one, other = list(one), list(other)  # a tuple's slice equals no list's
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
