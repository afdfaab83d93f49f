"""How prompts share the steps: whose prefill goes on, and how much of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from youtu_onnx.serve.engine.step import PrefillChunk, RunningSequence


@dataclass(frozen=True)
class ChunkSizes:
    """Sizes of prefill chunks.

    Attributes:
        smallest, largest: tokens; with fewer than 64 the graph computes attention in the order that is slower for prompts, and
            that rounds otherwise.
        first: tokens of a prompt's first chunk, or the whole prompt. Over up to 64 keys ONNX Runtime sums in another order.
        seconds: what a chunk may add to a step while others wait for their next token.
        oldest_every: of so many chunks one is the oldest prompt's.
    """

    smallest: int = 64
    largest: int = 256
    first: int = 128
    seconds: float = 0.4
    oldest_every: int = 4


class PrefillOrder:
    """Chooses the next chunk.

    The prompt with the fewest missing tokens goes first, which gives the shortest waiting time in the mean; every
    ``oldest_every``-th chunk is the oldest prompt's, so that short ones can't keep a long one waiting for ever.
    """

    def __init__(self, sizes: ChunkSizes, *, fixed: bool = False) -> None:
        """``fixed``: prompts are cut at multiples of ``sizes.first``, whoever else is there. Where rows leave caches, cuts say
        which are still there to be summed over: new ones would come out the same in no other way."""
        self._sizes, self._fixed = sizes, fixed
        self._chosen = 0
        self._speed = 100.0  # prompt tokens a second, as measured last

    def choose(self, prefilling: Sequence[RunningSequence]) -> RunningSequence:
        """Whose prefill goes on; ``prefilling``: at least one."""
        self._chosen += 1
        if self._chosen % self._sizes.oldest_every == 0:
            return min(prefilling, key=lambda one: one.sequence.number)
        return min(prefilling, key=lambda one: one.to_prefill)

    def chunk(self, running: RunningSequence, *, alone: bool) -> PrefillChunk:
        """The next chunk of a prompt; ``alone``: nobody waits for a next token meanwhile.

        A small rest goes along, since a step of it would read all weights once more, and so does one that would be below the
        smallest size: of 300 missing tokens and a size of 256 the chunk has all, of 500 it has 256. So wherever prompts are cut,
        which depends on the company, their rows come out the same: in pairs, and no chunk is small.
        """
        sizes, start, missing = self._sizes, len(running.cached.ids), running.to_prefill
        if self._fixed:
            count = min(missing, sizes.first - start % sizes.first)
            return PrefillChunk(running, start, count, repeatable=(start + count) % sizes.first == 0)
        size = sizes.largest if alone else int(self._speed * sizes.seconds)
        size = min(max(size, sizes.smallest if start else sizes.first), sizes.largest) // 2 * 2
        count = missing if missing < size + max(sizes.smallest, size // 2 + 1) else size
        repeatable = count >= sizes.smallest and start + count > sizes.smallest
        return PrefillChunk(running, start, count, repeatable)

    def measured(self, tokens: int, seconds: float) -> None:
        """A step of a chunk alone took so long."""
        if tokens >= self._sizes.smallest:
            self._speed += (tokens / max(seconds, 1e-6) - self._speed) / 4
