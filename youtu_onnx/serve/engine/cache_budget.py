"""The memory that caches may take, and what running sequences want of it."""

from __future__ import annotations

from collections.abc import Iterable

from youtu_onnx.core.errors import ResourceError
from youtu_onnx.runtimes.batch import Batch
from youtu_onnx.serve.engine.sequence import TokenSequence
from youtu_onnx.serve.engine.step import RunningSequence

SMALLEST_TOKENS = 256
"""Tokens that there has to be room for."""


class CacheBudget:
    """Sizes in bytes, as the batch's caches take them.

    Attributes:
        limit: bytes that all caches may take together.
    """

    def __init__(self, batch: Batch, limit: int) -> None:
        """
        Raises:
            ResourceError: no room for a sequence of any use.
        """
        if limit < SMALLEST_TOKENS * batch.bytes_per_token:
            raise ResourceError(
                f"{limit / 1e6:.0f} MB for caches are too little: a token takes {batch.bytes_per_token / 1e3:.0f} kB",
                hint="give --cache-memory more",
            )
        self._batch, self.limit = batch, limit

    def context(self, asked: int | None) -> int:
        """The most tokens of one sequence: as many as were asked for, or as the model and the memory have room for.

        Raises:
            ResourceError: more were asked for than there is room for.
        """
        room = self.limit // (2 * self._batch.bytes_per_token)  # buffers grow by half, and one of them is twice there meanwhile
        if asked is not None and asked > room:
            raise ResourceError(
                f"{self.limit / 1e9:.1f} GB for caches have room for {room:,} tokens, not for a context of {asked:,}",
                hint="give --cache-memory more, or choose a shorter --context",
            )
        return min(asked or self._batch.context_length, room)

    def has_room(self, sequence: TokenSequence, running: Iterable[RunningSequence]) -> bool:
        """Whether it can begin beside these without taking their memory, which would have it preempted at once. Alone it can."""
        sizes = [max(one.cached.cache.nbytes, self._batch.cache_bytes(len(one.sequence.ids))) for one in running]
        return not sizes or sum(sizes) + self._batch.cache_bytes(len(sequence.ids)) <= self.limit

    def growth(self, running: RunningSequence, tokens: int) -> int:
        """Bytes by which its cache grows with so many more tokens; 0 where its buffers have room for them."""
        total, there = len(running.cached.ids) + tokens, running.cached.cache.nbytes
        return self._batch.cache_bytes(total) - there if total * self._batch.bytes_per_token > there else 0
