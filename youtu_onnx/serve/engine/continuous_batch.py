"""The sequences that have a place, and what a step does for all of them. Used by the engine's thread alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from youtu_onnx.chat.finish import FinishReason
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Batch
from youtu_onnx.serve.engine.cache_budget import CacheBudget
from youtu_onnx.serve.engine.prefill import ChunkSizes, PrefillOrder
from youtu_onnx.serve.engine.prefix_cache import CachedSequence, PrefixCache
from youtu_onnx.serve.engine.saved_prefixes import WORTH_SAVING, SavedPrefixes
from youtu_onnx.serve.engine.sequence import TokenSequence
from youtu_onnx.serve.engine.step import NextLogits, PrefillChunk, RunningSequence, Step


@dataclass
class Counts:
    """Since the start; as in :class:`youtu_onnx.serve.engine.engine.EngineStats`."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    steps: int = 0


class ContinuousBatch:
    """Sequences join and leave between steps. One that has a place is in prefill, or it decodes and has a slot of the batch, too.

    A step is computed with one adapter, so sequences with different ones take turns: each step is the next adapter's.

    Where memory runs out, kept prefixes go first; then the youngest sequence is *preempted*: it gives up its place and its cache,
    and computes its tokens again later.

    Attributes:
        counts: what was done.
        cache_bytes: memory of all caches, as of the last step.
        reply_seconds: how long replies took lately.
    """

    def __init__(
        self,
        batch: Batch,
        budget: CacheBudget,
        sizes: ChunkSizes,
        preempted: Callable[[TokenSequence], None],
        saved: SavedPrefixes | None = None,
    ) -> None:
        """
        Args:
            preempted: takes a sequence back that lost its place, to be added again when there is room.
            saved: prefixes in files; None: there are none.
        """
        self._saved = saved
        self._batch, self._budget, self._preempted = batch, budget, preempted
        self._order, self._sizes = PrefillOrder(sizes, fixed=not batch.prefix_shareable), sizes
        self._prefix_cache = PrefixCache(batch)
        self._prefilling: list[RunningSequence] = []
        self._decoding: dict[int, RunningSequence] = {}  # by slot
        self._turns: dict[ActiveAdapter | None, int] = {}  # by adapter that sequences run with: its last step
        self.counts = Counts()
        self.cache_bytes = 0
        self.reply_seconds = 1.0

    def __len__(self) -> int:
        """Sequences that have a place; from any thread."""
        return len(self._prefilling) + len(self._decoding)

    def has_room(self, sequence: TokenSequence) -> bool:
        """Whether there is memory for one more."""
        return self._budget.has_room(sequence, self._running)

    def add(self, sequence: TokenSequence) -> None:
        """Give it a place. What it begins with is looked for when its prefill begins, and others may have computed it by then."""
        self._prefilling.append(
            RunningSequence(sequence, CachedSequence(self._batch.new_cache(), [], adapter=sequence.request.adapter))
        )

    def step(self) -> None:
        """Run the model once, and deliver what comes of it."""
        adapter = self._next_turn()
        chunk = self._next_chunk(adapter)
        decoding = {slot: one for slot, one in self._decoding.items() if one.adapter is adapter}
        if chunk is None and not decoding:
            return
        alone, started = not self._decoding, time.monotonic()
        computed = self._computed(Step(decoding, chunk))
        if chunk:
            self._save(chunk.running)
            chunk.running.sequence.read(min(len(chunk.running.cached.ids), len(chunk.running.sequence.request.prompt)))
        for found in computed:
            self._advance(found)
        if chunk and alone:
            self._order.measured(chunk.count, time.monotonic() - started)
        self.counts.steps += 1

    def drop_retired(self) -> None:
        """Free what is kept of adapters that are gone; what runs with one goes on with it."""
        self._prefix_cache.drop_retired()
        self.cache_bytes = self._used()

    def drop_cancelled(self) -> None:
        for running in self._running:
            if running.sequence.cancelled:
                self._finish(running, "cancelled")

    def fail(self, error: YoutuOnnxError) -> None:
        """End all with an error."""
        for running in self._running:
            self._fail(running, error)

    def clear(self) -> list[TokenSequence]:
        """Free all caches; the sequences that had a place."""
        sequences = [running.sequence for running in self._running]
        self._prefilling, self._decoding = [], {}
        self._prefix_cache.clear()
        self.cache_bytes = 0
        return sequences

    def close(self) -> None:
        """Free the model."""
        self._batch.close()
        if self._saved is not None:
            self._saved.close()

    @property
    def _running(self) -> list[RunningSequence]:
        return [*self._prefilling, *self._decoding.values()]

    def _next_turn(self) -> ActiveAdapter | None:
        """The adapter of the next step: of those that sequences run with, the one that has waited longest."""
        self._turns = {one.adapter: self._turns.get(one.adapter, -1) for one in self._running}
        chosen = min(self._turns, key=lambda adapter: self._turns[adapter], default=None)
        self._turns[chosen] = self.counts.steps
        return chosen

    def _next_chunk(self, adapter: ActiveAdapter | None) -> PrefillChunk | None:
        """The chunk of the next step, for which there is room then. Whoever was preempted for it is let go here: its cache takes
        memory for as long as somebody holds it."""
        running = self._next_prefill(adapter)
        self._make_room(running)
        return self._chunk(running)

    def _next_prefill(self, adapter: ActiveAdapter | None) -> RunningSequence | None:
        """Whose prefill goes on; those that have nothing left to prefill decode from now on."""
        while mine := [one for one in self._prefilling if one.adapter is adapter]:
            running = self._order.choose(mine)
            try:
                if not running.cached.ids:
                    self._begin(running)
            except YoutuOnnxError as error:
                self._fail(running, error)
                continue
            if not running.decodes:
                return running
            self._decode(running)
        return None

    def _begin(self, running: RunningSequence) -> None:
        sequence = running.sequence
        others = [one.cached for one in self._running]
        room = self._budget.limit - sum(one.cache.nbytes for one in others)
        self._load(running, others, room)
        if sequence.request.repeatable:
            prompt, left = sequence.request.prompt, self._sizes.smallest
            running.cached = self._prefix_cache.begin(prompt, others, room, left=left, repeatable=True, adapter=running.adapter)
        else:
            running.cached = self._prefix_cache.begin(sequence.ids, others, room, adapter=running.adapter)
        reused = len(running.cached.ids)
        if sequence.begin(reused):
            self.counts.prompt_tokens += len(sequence.ids)
            self.counts.reused_tokens += reused
            sequence.read(reused)

    def _load(self, running: RunningSequence, others: list[CachedSequence], room: int) -> None:
        """Have what it begins with from a file, if it is nowhere in memory and there is room for it twice."""
        ids = self._saved_part(running)
        if self._saved is None or not ids or 2 * self._batch.cache_bytes(len(ids)) > room:
            return
        if self._prefix_cache.shared(ids, others) < len(ids) and (loaded := self._saved.load(ids)) is not None:
            self._prefix_cache.keep(loaded)

    def _save(self, running: RunningSequence) -> None:
        """Keep in a file what it begins with, when that is computed."""
        ids = self._saved_part(running)
        if self._saved is not None and ids and not running.saved and running.cached.repeatable >= len(ids):
            running.saved = True
            self._saved.save(running.cached, len(ids))

    def _saved_part(self, running: RunningSequence) -> Sequence[int]:
        """What of a prompt is worth a file: an even number of tokens, as the prefix cache takes them."""
        request = running.sequence.request
        worth = self._saved is not None and request.adapter is None and request.shared >= WORTH_SAVING
        return request.prompt[: request.shared // 2 * 2] if worth else ()

    def _decode(self, running: RunningSequence) -> None:
        """Give it the lowest free slot, which is the cheapest."""
        self._prefilling.remove(running)
        self._decoding[next(slot for slot in range(self._batch.count) if slot not in self._decoding)] = running

    def _chunk(self, running: RunningSequence | None) -> PrefillChunk | None:
        """Its next tokens, unless it was preempted."""
        return None if running not in self._prefilling else self._order.chunk(running, alone=not self._decoding)

    def _computed(self, step: Step) -> list[NextLogits]:
        """Run a step. Where it fails, every sequence is tried alone, so that one's failure is its own."""
        try:
            return step.run(self._batch)
        except YoutuOnnxError as error:
            _drop_frames(error)
            parts = step.alone()
            if len(parts) == 1:
                self._fail(step.sequences[0], error)
                return []
        for running in step.sequences:  # the batch may take sequences in turns, and some had theirs
            running.cached = self._prefix_cache.undo(running.cached)
            if not running.decodes and running not in self._prefilling:
                self._leave(running)
                self._prefilling.append(running)
        return [found for part in parts if part.due for found in self._computed(part)]

    def _advance(self, found: NextLogits) -> None:
        """Choose a sequence's next token."""
        running, sequence = found.running, found.running.sequence
        if sequence.cancelled:
            self._finish(running, "cancelled")
            return
        before = sequence.completion_tokens
        try:
            reason = sequence.advance(found.logits)
        except YoutuOnnxError as error:
            self._fail(running, error)
            return
        except Exception as error:  # noqa: BLE001 - of a constraint's library
            self._fail(running, YoutuOnnxError(f"the reply can't go on ({type(error).__name__}: {error})"))
            return
        self.counts.completion_tokens += sequence.completion_tokens - before
        if reason:
            self.reply_seconds += (sequence.seconds - self.reply_seconds) / 4
            self._finish(running, reason)
        elif running in self._prefilling:
            self._decode(running)

    def _finish(self, running: RunningSequence, reason: FinishReason) -> None:
        """End a reply; its cache is kept for others."""
        self._leave(running)
        self._budget.ended(running.cached)
        self._prefix_cache.keep(running.cached)
        self._make_room()
        running.sequence.end(reason)  # at last, so that whoever hears of it finds the place free

    def _fail(self, running: RunningSequence, error: YoutuOnnxError) -> None:
        _drop_frames(error)
        self._leave(running)
        running.sequence.end("cancelled", error)

    def _leave(self, running: RunningSequence) -> None:
        """Give up its place."""
        if running in self._prefilling:
            self._prefilling.remove(running)
        self._decoding = {slot: one for slot, one in self._decoding.items() if one is not running}

    def _make_room(self, prefilling: RunningSequence | None = None) -> None:
        """Free memory until the next step fits."""
        while (used := self._used()) + self._growth(prefilling) > self._budget.limit:
            if self._prefix_cache.drop_oldest():
                continue
            if len(self) < 2:
                break  # a context's length is within the limit
            self._preempt(max(self._running, key=lambda one: one.sequence.number))
        self.cache_bytes = used

    def _preempt(self, running: RunningSequence) -> None:
        self._leave(running)
        self._preempted(running.sequence)

    def _used(self) -> int:
        return self._prefix_cache.nbytes + sum(one.cached.cache.nbytes for one in self._running)

    def _growth(self, prefilling: RunningSequence | None) -> int:
        """Bytes by which caches grow in the next step."""
        chunk = self._chunk(prefilling)
        grown = sum(self._budget.growth(one, 1) for one in self._decoding.values())
        return grown + (self._budget.growth(chunk.running, chunk.count) if chunk else 0)


def _drop_frames(error: YoutuOnnxError) -> None:
    """Forget where an error comes from: the frames hold caches, for as long as somebody holds it or it holds itself."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__, one = None, one.__cause__ or one.__context__
