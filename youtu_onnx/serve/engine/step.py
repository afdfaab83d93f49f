"""A step: the next token of every sequence that decodes, and beside them a chunk of one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from youtu_onnx.runtimes.batch import Batch, Chunk
from youtu_onnx.serve.engine.prefix_cache import CachedSequence
from youtu_onnx.serve.engine.sequence import TokenSequence


@dataclass(eq=False)
class RunningSequence:
    """A sequence that has a place, and what of it is in a cache: a beginning of its ids."""

    sequence: TokenSequence
    cached: CachedSequence

    @property
    def missing(self) -> int:
        """Tokens to run before the next one can be chosen: 1 of a sequence that decodes, more before."""
        return len(self.sequence.ids) - len(self.cached.ids)


@dataclass(frozen=True)
class PrefillChunk:
    """The next ``count`` of the tokens that a sequence misses, from ``start`` on.

    With ids of 10 tokens, 4 of them cached, and a count of 3, these are tokens 4, 5 and 6; with a count of 6 they are all that
    are missing, and the step computes the logits that the next token is chosen from.
    """

    running: RunningSequence
    start: int
    count: int

    @property
    def ids(self) -> list[int]:
        return self.running.sequence.ids[self.start : self.start + self.count]

    @property
    def last(self) -> bool:
        """Whether the next token can be chosen after it."""
        return self.start + self.count == len(self.running.sequence.ids)


@dataclass(frozen=True)
class NextLogits:
    """Logits ``[V]`` that a sequence's next token is chosen from."""

    running: RunningSequence
    logits: np.ndarray


@dataclass(frozen=True)
class Step:
    """What one run of the model appends. ``decoding``: by slot of the batch."""

    decoding: Mapping[int, RunningSequence]
    prefill: PrefillChunk | None = None

    @property
    def sequences(self) -> list[RunningSequence]:
        return [*self.decoding.values(), *([self.prefill.running] if self.prefill else [])]

    @property
    def due(self) -> bool:
        """Whether these are still the tokens that come next."""
        chunk = self.prefill
        return all(one.missing == 1 for one in self.decoding.values()) and (
            chunk is None or chunk.start == len(chunk.running.cached.ids)
        )

    def alone(self) -> list[Step]:
        """The same tokens in steps of one sequence each."""
        decoding = [Step({slot: running}) for slot, running in self.decoding.items()]
        return [*decoding, Step({}, self.prefill)] if self.prefill else decoding

    def run(self, batch: Batch) -> list[NextLogits]:
        """Run it; the logits of each sequence that has a next token to choose.

        Raises:
            As :meth:`youtu_onnx.runtimes.batch.Batch.step`. No sequence's known tokens have changed then; caches may hold more.
        """
        tokens = {slot: (one.cached.cache, one.sequence.ids[-1]) for slot, one in self.decoding.items()}
        chunk = self.prefill
        logits = batch.step(tokens, Chunk(chunk.running.cached.cache, chunk.ids, chunk.last) if chunk else None)
        choosing = [self.decoding[slot] for slot in sorted(self.decoding)]
        for one in choosing:
            one.cached.ids.append(one.sequence.ids[-1])
        if chunk:
            chunk.running.cached.ids += chunk.ids
            if chunk.last:
                choosing.append(chunk.running)
        return [NextLogits(one, row) for one, row in zip(choosing, logits, strict=True)]
