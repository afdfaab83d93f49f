"""A step: the next token of every sequence that decodes, and beside them a chunk of one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Batch, Chunk
from youtu_onnx.serve.engine.prefix_cache import CachedSequence
from youtu_onnx.serve.engine.sequence import TokenSequence


@dataclass(eq=False)
class RunningSequence:
    """A sequence that has a place, and what of it is in a cache: a beginning of its ids.

    ``saved``: what of it is worth a file was offered to be written.
    """

    sequence: TokenSequence
    cached: CachedSequence
    saved: bool = False

    @property
    def adapter(self) -> ActiveAdapter | None:
        return self.sequence.request.adapter

    @property
    def missing(self) -> int:
        """Tokens to run before the next one can be chosen."""
        return len(self.sequence.ids) - len(self.cached.ids)

    @property
    def to_prefill(self) -> int:
        """Those of them that chunks may have. A reply that is to be the same always was decoded token by token; where its cache
        was lost it is decoded so again, since a chunk would round otherwise, and what follows might differ."""
        return self.missing - (self.sequence.completion_tokens if self.sequence.request.repeatable else 0)

    @property
    def decodes(self) -> bool:
        """Whether its next token takes a slot."""
        return self.missing == 1 or self.to_prefill <= 0


@dataclass(frozen=True)
class PrefillChunk:
    """The next ``count`` of the tokens that a sequence misses, from ``start`` on.

    With ids of 10 tokens, 4 of them cached, and a count of 3, these are tokens 4, 5 and 6; with a count of 6 they are all that
    are missing, and the step computes the logits that the next token is chosen from.

    ``repeatable``: it is so large that its rows come out as those of any other cut do, if those before it did.
    """

    running: RunningSequence
    start: int
    count: int
    repeatable: bool = False

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
    """What one run of the model appends, to sequences that are computed with one adapter. ``decoding``: by slot of the batch."""

    decoding: Mapping[int, RunningSequence]
    prefill: PrefillChunk | None = None

    @property
    def sequences(self) -> list[RunningSequence]:
        return [*self.decoding.values(), *([self.prefill.running] if self.prefill else [])]

    @property
    def due(self) -> bool:
        """Whether these are still the tokens that come next."""
        chunk = self.prefill
        return all(one.decodes for one in self.decoding.values()) and (
            chunk is None or chunk.start == len(chunk.running.cached.ids)
        )

    @property
    def batch_invariant(self) -> bool:
        """Whether somebody in it wants it so. Beside a chunk it costs nothing, and others may begin with the chunk's rows."""
        return self.prefill is not None or any(one.sequence.request.repeatable for one in self.decoding.values())

    def alone(self) -> list[Step]:
        """The same tokens in steps of one sequence each."""
        decoding = [Step({slot: running}) for slot, running in self.decoding.items()]
        return [*decoding, Step({}, self.prefill)] if self.prefill else decoding

    def run(self, batch: Batch) -> list[NextLogits]:
        """Run it; the logits of each sequence that has a next token to choose.

        Raises:
            As :meth:`youtu_onnx.runtimes.batch.Batch.step`. No sequence's known tokens have changed then; caches may hold more.
        """
        tokens = {slot: (one.cached.cache, one.sequence.ids[len(one.cached.ids)]) for slot, one in self.decoding.items()}
        chunk = self.prefill
        part = Chunk(chunk.running.cached.cache, chunk.ids, chunk.last) if chunk else None
        logits = batch.step(tokens, part, batch_invariant=self.batch_invariant, adapter=self.sequences[0].adapter)
        stepped = [self.decoding[slot] for slot in sorted(self.decoding)]
        for slot, one in self.decoding.items():
            one.cached.ids.append(tokens[slot][1])
        if chunk:
            cached = chunk.running.cached
            cached.ids += chunk.ids
            if chunk.repeatable and cached.repeatable == chunk.start:
                cached.repeatable += chunk.count // 2 * 2  # a last row without a pair is another one's within a longer prompt
            if chunk.last:
                stepped.append(chunk.running)
        return [NextLogits(one, row) for one, row in zip(stepped, logits, strict=True) if one.missing == 0]
