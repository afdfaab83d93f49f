"""The memory that caches may take, and what running sequences want of it."""

from __future__ import annotations

from collections.abc import Iterable

from youtu_onnx.core.errors import ResourceError
from youtu_onnx.runtimes.batch import Batch
from youtu_onnx.serve.engine.prefix_cache import CachedSequence
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
        self._share = 1.0  # of all their tokens' rows, what sequences kept that ended lately

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
        sizes = [max(one.cached.cache.nbytes, self._expected(len(one.sequence.ids))) for one in running]
        times = 2 if self._batch.returns_caches else 1
        return not sizes or times * (sum(sizes) + self._expected(len(sequence.ids))) <= self.limit

    def growth(self, running: RunningSequence, tokens: int) -> int:
        """Bytes by which memory grows at most while a step adds so many tokens to its cache; 0 where its buffers have room for
        them."""
        cache = running.cached.cache
        return cache.bytes_with(tokens) - (0 if self._batch.returns_caches else cache.nbytes)

    def ended(self, cached: CachedSequence) -> None:
        """Take note of what a sequence kept, for those to come."""
        if cached.ids:
            share = cached.cache.nbytes / (len(cached.ids) * self._batch.bytes_per_token)
            self._share += (min(share, 1.0) - self._share) / 4

    def _expected(self, tokens: int) -> int:
        """Of a cache of so many tokens. Where it is too little, somebody is preempted."""
        return int(self._batch.cache_bytes(tokens) * self._share)
