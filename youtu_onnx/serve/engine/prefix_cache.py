"""The prefix cache: caches of sequences that ended, kept because others may begin like them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from youtu_onnx.chat.prefix import common_prefix
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Batch, SequenceCache

WORTH_COPYING = 16
"""Tokens that a prompt must share with a cache before they are copied: fewer are computed as quickly."""
WORTH_KEEPING = 32
"""Tokens of a cache that must be beyond the shared ones for it to be left whole: what would be lost if it was taken over."""


@dataclass(eq=False)
class CachedSequence:
    """A cache of one sequence, and the tokens that it is known to hold.

    Attributes:
        repeatable: so many of the first tokens have rows as every prefill computes them, to the last bit. Not those of a reply,
            which were computed one by one, nor what came after such.
        adapter: that they were computed with. To sequences with another one they are of no use.
    """

    cache: SequenceCache
    ids: list[int]
    repeatable: int = 0
    adapter: ActiveAdapter | None = None


class PrefixCache:
    """Kept caches, the least recently used first to go. Used by one thread.

    Here, and nowhere else in the engine, it is decided what becomes of cached tokens that another sequence begins with, or that
    a sequence doesn't want. Where the batch's caches are good for their whole sequence alone, they serve what goes on where they
    end, such as the next turn of a conversation, and nothing else.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._kept: list[CachedSequence] = []

    @property
    def nbytes(self) -> int:
        return sum(kept.cache.nbytes for kept in self._kept)

    @property
    def kept(self) -> tuple[CachedSequence, ...]:
        """The least recently used first."""
        return tuple(self._kept)

    def keep(self, ended: CachedSequence) -> None:
        """Remember a sequence that ended. One that adds nothing to another kept one isn't kept."""
        if not ended.ids or _retired(ended) or any(self._in(ended, kept) for kept in self._kept):
            return
        self._kept = [kept for kept in self._kept if not self._in(kept, ended)]
        self._kept.append(ended)

    def drop_retired(self) -> None:
        """Free those that were computed with an adapter that is gone."""
        self._kept = [kept for kept in self._kept if not _retired(kept)]

    def drop_oldest(self) -> bool:
        """Free the least recently used; False if there is none."""
        if not self._kept:
            return False
        del self._kept[0]
        return True

    def begin(
        self,
        prompt: Sequence[int],
        running: Iterable[CachedSequence],
        room: int,
        *,
        left: int = 1,
        repeatable: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> CachedSequence:
        """A cache for a prompt, with what is there of it in kept caches or in those of running sequences.

        A kept cache that the prompt continues is taken over, others are copied from. Before a copy is made, kept caches go until
        it fits; where nothing is left to go, the kept cache itself is taken over, and a running one's tokens are computed again.

        Args:
            room: bytes that kept caches and a copy may take together.
            left: so many of the prompt's last tokens are left to be computed; at least 1, since its logits are wanted.
            repeatable: only rows that every prefill computes so, and an even number of them.
            adapter: that the prompt is computed with: only what was computed with the same one.

        Raises:
            ResourceError: no memory for a copy.
        """

        def usable(one: CachedSequence) -> int:
            if one.adapter is not adapter:
                return 0
            length = min(common_prefix(prompt, one.ids), len(prompt) - left)
            length = min(length, one.repeatable) // 2 * 2 if repeatable else length
            return length if length == len(one.ids) or self._batch.prefix_shareable else 0

        found, shared = _longest([*self._kept, *running], usable)
        if found is None:
            return self._empty(adapter)
        taken = found in self._kept and len(found.ids) - shared < WORTH_KEEPING
        fits = taken or self._make_room(self._copied_bytes(found, shared), room, found)
        if found in self._kept:
            self._kept.remove(found)
            if taken or not fits:
                return self._cut(found, shared)
            self._kept.append(found)  # used just now
        elif not fits:
            return self._empty(adapter)
        return CachedSequence(found.cache.copy_prefix(shared), list(prompt[:shared]), min(shared, found.repeatable), adapter)

    def shared(self, ids: Sequence[int], running: Iterable[CachedSequence]) -> int:
        """So many of the first of these tokens are in one cache, of those without an adapter."""
        return max((common_prefix(ids, one.ids) for one in (*self._kept, *running) if one.adapter is None), default=0)

    def undo(self, cached: CachedSequence) -> CachedSequence:
        """A cache of the known tokens alone, after a step that failed may have appended others: the same, cut, or else an empty
        one, whose sequence starts over."""
        if cached.cache.length == len(cached.ids):
            return cached
        return self._cut(cached, len(cached.ids)) if self._batch.prefix_shareable else self._empty(cached.adapter)

    def clear(self) -> None:
        self._kept.clear()

    def _copied_bytes(self, found: CachedSequence, length: int) -> int:
        return self._batch.cache_bytes(length) if self._batch.prefix_shareable else found.cache.nbytes

    def _make_room(self, size: int, room: int, wanted: CachedSequence) -> bool:
        """Free the least recently used but one until so many bytes more fit; False if they don't."""
        others = [kept for kept in self._kept if kept is not wanted]
        while others and self.nbytes + size > room:
            self._kept.remove(others.pop(0))
        return self.nbytes + size <= room

    def _in(self, one: CachedSequence, other: CachedSequence) -> bool:
        """Whether another cache serves all whom this one does."""
        same = one.adapter is other.adapter and one.repeatable <= other.repeatable
        if not self._batch.prefix_shareable:
            return same and one.ids == other.ids
        return same and common_prefix(one.ids, other.ids) == len(one.ids)

    def _cut(self, cached: CachedSequence, length: int) -> CachedSequence:
        cached.cache.truncate(length)
        return CachedSequence(cached.cache, cached.ids[:length], min(length, cached.repeatable), cached.adapter)

    def _empty(self, adapter: ActiveAdapter | None) -> CachedSequence:
        return CachedSequence(self._batch.new_cache(), [], adapter=adapter)


def _retired(cached: CachedSequence) -> bool:
    return cached.adapter is not None and cached.adapter.retired


def _longest(caches: Iterable[CachedSequence], usable: Callable[[CachedSequence], int]) -> tuple[CachedSequence | None, int]:
    """The cache of which most tokens are usable, and how many; None where that isn't worth it."""
    best, shared = None, WORTH_COPYING - 1
    for one in caches:
        if (length := usable(one)) > shared:
            best, shared = one, length
    return best, shared
