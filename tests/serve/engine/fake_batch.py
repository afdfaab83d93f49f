"""A Batch in plain numpy: what it answers depends on every id so far and on nothing else, and it shows what the engine does.

It can be held before a step, fail, and says what each step had in it. Nothing in it takes time.
"""

from __future__ import annotations

import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from youtu_onnx.runtimes.adapters import ActiveAdapter, Adapters
from youtu_onnx.runtimes.batch import Chunk

VOCABULARY, CONTEXT = 97, 256
BYTES = 100
"""Of a token's row."""
FIRST = 8
"""Rows of a cache's first buffer."""
PATIENCE = 60
"""Seconds after which a test gives up waiting for the engine."""


def logits_after(ids: Sequence[int]) -> np.ndarray:
    """``[V]``"""
    return np.random.default_rng(zlib.crc32(np.array(ids, np.int64).tobytes())).normal(size=VOCABULARY).astype(np.float32) * 3


def greedy(prompt: Sequence[int], count: int, adapter: str = "") -> list[int]:
    """The reply of so many tokens."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(logits_after([*ids, *adapter.encode()]).argmax()))
    return ids[len(prompt) :]


class HeldCaches(weakref.WeakSet["FakeCache"]):
    """Caches that somebody holds.

    Attributes:
        most: the most bytes that they had together at any time.
    """

    most = 0

    @property
    def nbytes(self) -> int:
        return sum(cache.nbytes for cache in self)

    def grown(self) -> None:
        self.most = max(self.most, self.nbytes)


class FakeCache:
    """Ids instead of rows. Its memory grows as that of an InPlaceCache does, by half of what it needs.

    One that isn't ``shareable`` can't be cut, and none of its prefixes can be copied but all or nothing of it.
    """

    def __init__(self, shareable: bool = True, held: HeldCaches | None = None) -> None:
        """``held``: caches that somebody holds; this one and its copies are added."""
        self.shareable = shareable
        self.ids: list[int] = []
        self.adapter: ActiveAdapter | None = None
        self.capacity = 0
        self._held = HeldCaches() if held is None else held
        self._held.add(self)

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        return self.capacity * BYTES

    def bytes_with(self, count: int) -> int:
        total = len(self.ids) + count
        return max(self.capacity, capacity(total) if total > self.capacity else 0) * BYTES

    def truncate(self, length: int) -> None:
        assert (self.shareable or length in (0, self.length)) and 0 <= length <= len(self.ids)
        del self.ids[length:]

    def copy_prefix(self, length: int) -> FakeCache:
        assert (self.shareable or length in (0, self.length)) and 0 <= length <= self.length
        copy = type(self)(self.shareable, self._held)
        copy.reserve(length)
        copy.ids, copy.adapter = self.ids[:length], self.adapter
        return copy

    def append(self, ids: Sequence[int]) -> None:
        assert ids
        self.reserve(len(self.ids) + len(ids))
        self.ids += ids

    def reserve(self, rows: int) -> None:
        if rows > self.capacity:
            self.capacity = capacity(rows)
            self._held.grown()


def capacity(rows: int) -> int:
    return max(rows, FIRST, rows + rows // 2)


@dataclass(frozen=True)
class Step:
    """What a step appended: to the sequences in slots one token each, after which they are as here; and a chunk of a prompt."""

    slots: Mapping[int, tuple[int, ...]]
    chunk: tuple[int, ...] = ()
    prompt: tuple[int, ...] = ()
    memory: int = 0
    """Of all caches that somebody holds, after the step."""
    adapter: str | None = None


@dataclass
class FakeBatch:
    """Attributes:
    fails: told all sequences as a step would leave them; what it returns is raised, and nothing has changed.
    in_turns: sequences before the one whose turn fails have changed, as :class:`youtu_onnx.runtimes.ort.turns.TurnsModel`'s have.
    done: steps that ended well.
    closed: how often it was closed.
    """

    adapters: Adapters | None = None
    count: int = 4
    fails: Callable[[list[list[int]]], Exception | None] = lambda sequences: None
    in_turns: bool = False
    prefix_shareable: bool = True
    returns_caches: bool = False
    vocab_size: int = VOCABULARY
    context_length: int = CONTEXT
    bytes_per_token: int = BYTES
    done: list[Step] = field(default_factory=list)
    closed: int = 0

    def __post_init__(self) -> None:
        self._caches = HeldCaches()
        self._changed, self._arrivals = threading.Condition(), 0
        self._permits: int | None = None  # None: any number

    def new_cache(self) -> FakeCache:
        return FakeCache(self.prefix_shareable, self._caches)

    def cache_bytes(self, tokens: int) -> int:
        return capacity(tokens) * BYTES

    def step(
        self,
        tokens: Mapping[int, tuple[FakeCache, int]],
        chunk: Chunk | None = None,
        *,
        batch_invariant: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> np.ndarray:
        """With an adapter, the reply depends on its name, too; a cache holds what was computed with one, and no other."""
        self._wait()
        assert not self.closed
        assert tokens or chunk
        assert all(0 <= slot < self.count for slot in tokens)
        lanes = [(cache, [id_]) for _, (cache, id_) in sorted(tokens.items())]
        lanes += [(chunk.cache, list(chunk.ids))] if chunk else []
        assert len({id(cache) for cache, _ in lanes}) == len(lanes), "a cache is in one slot"
        for cache, _ in lanes:
            assert cache.length == 0 or cache.adapter is adapter, "a cache of another adapter's"
            cache.adapter = adapter
        after = [cache.ids + ids for cache, ids in lanes]
        assert all(len(ids) < self.context_length for ids in after), "the last token of a full context is never run"
        for turn, (cache, ids) in enumerate(lanes):
            error = self.fails(after[turn : turn + 1] if self.in_turns else after)
            if error is not None:
                raise error
            if self.in_turns:
                cache.append(ids)
        if not self.in_turns:
            for cache, ids in lanes:
                cache.append(ids)
        self.done.append(
            Step(
                {slot: tuple(cache.ids) for slot, (cache, _) in tokens.items()},
                tuple(chunk.ids) if chunk else (),
                tuple(chunk.cache.ids) if chunk else (),
                self.memory(),
                None if adapter is None else adapter.name,
            )
        )
        wanted = after if not chunk or chunk.logits else after[:-1]
        name = [] if adapter is None else list(adapter.name.encode())
        return np.stack([logits_after([*ids, *name]) for ids in wanted]) if wanted else np.empty((0, VOCABULARY), np.float32)

    def close(self) -> None:
        self.closed += 1

    # For tests: a held batch stops at the beginning of each step.

    def memory(self) -> int:
        """Bytes of all caches that somebody holds."""
        return self._caches.nbytes

    @property
    def most_memory(self) -> int:
        """The most that it was at any time, between steps too."""
        return self._caches.most

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, the engine takes no step but those that are let."""
        with self._changed:
            self._permits = 0
        try:
            yield
        finally:
            with self._changed:
                self._permits = None
                self._changed.notify_all()

    def reached(self, arrivals: int = 1) -> None:
        """Wait until the engine stands before a step; ``arrivals``: before which, counted from the start."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._arrivals >= arrivals, PATIENCE), "the engine never came to a step"

    def let(self, steps: int = 1) -> None:
        """Let it take so many steps, and wait until it stands before one more."""
        for _ in range(steps):
            with self._changed:
                self._permits, arrivals = self._permits + 1, self._arrivals + 1
                self._changed.notify_all()
            self.reached(arrivals)

    def _wait(self) -> None:
        with self._changed:
            self._arrivals += 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._permits is None or self._permits > 0, PATIENCE), "never let go on"
            if self._permits is not None:
                self._permits -= 1
