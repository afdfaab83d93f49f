"""Continuous batching: an :class:`~youtu_onnx.serve.engine.engine.Engine` over a :class:`youtu_onnx.runtimes.batch.Batch`.

One thread runs the model. Each step takes the next token of every sequence that decodes, and beside them a chunk of one prompt;
between steps sequences join and leave. So

- a sequence that decodes never waits for a whole prompt, only for a chunk of it (``prefill.py``);
- caches of ended replies stay until their memory is wanted, and prompts that begin alike, among them the turns of a conversation,
  compute what they share once (``prefix_cache.py``);
- where memory runs out, the prefix cache goes first; then the youngest sequence is preempted (``continuous_batch.py``).
"""

from __future__ import annotations

import bisect
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.runtimes.batch import Batch
from youtu_onnx.runtimes.decoder import check_ids
from youtu_onnx.serve.engine.cache_budget import CacheBudget
from youtu_onnx.serve.engine.continuous_batch import ContinuousBatch
from youtu_onnx.serve.engine.engine import Busy, Draining, EngineStats
from youtu_onnx.serve.engine.limits import MAX_QUEUE
from youtu_onnx.serve.engine.prefill import ChunkSizes
from youtu_onnx.serve.engine.request import Event, Request
from youtu_onnx.serve.engine.saved_prefixes import SavedPrefixes
from youtu_onnx.serve.engine.sequence import TokenSequence

log = logging.getLogger(__name__)

MOST_OVERTAKEN = 8
"""So many requests may begin before one that came earlier and that there is no memory for; then they wait with it."""
LOOKED_AT = 64
"""Waiting requests, the first of the queue, that are looked at for one that there is room for."""

THREAD = "youtu-onnx engine"
"""Name of the thread that runs the model and delivers tokens."""


class Scheduler:
    """Implements :class:`youtu_onnx.serve.engine.engine.Engine`.

    Attributes:
        context_length, vocab_size, adapters: as the protocol has them.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        places: int | None = None,
        max_queue: int = MAX_QUEUE,
        context: int | None = None,
        cache_limit: int,
        chunks: ChunkSizes | None = None,
        saved: SavedPrefixes | None = None,
    ) -> None:
        """
        Args:
            places: requests that run at once; None: as many as the batch has slots.
            max_queue: requests that may wait for a place.
            context: the most tokens of a prompt and its reply; None: as many as the model has positions.
            cache_limit: bytes that all caches may take together.
            chunks: how prompts are cut; None: as is best for the graphs of this program.
            saved: prefixes in files, which the engine closes; None: there are none.

        Raises:
            UsageError: numbers that can't be.
            ResourceError: too little memory for caches.
        """
        _check(batch, places, max_queue, context)
        budget = CacheBudget(batch, cache_limit)
        self.adapters = batch.adapters
        self.vocab_size, self.context_length = batch.vocab_size, budget.context(context)
        self._places, self._max_queue, self._cache_limit = places or batch.count, max_queue, cache_limit
        self._running = ContinuousBatch(batch, budget, chunks or ChunkSizes(), self._requeue, saved)
        self._changed = threading.Condition()  # guards what follows
        self._queue: deque[TokenSequence] = deque()
        self._adapters_changed = False
        self._closing: float | None = None  # when to cancel what still runs, in seconds of the monotonic clock
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self._thread.start()

    def submit(self, request: Request, deliver: Callable[[Event], None]) -> TokenSequence:
        check_ids(request.prompt, length=0, context_length=self.context_length - 1, vocab_size=self.vocab_size)
        if request.max_tokens < 1:
            raise UsageError(f"max_tokens is {request.max_tokens}; expected a whole number from 1")
        with self._changed:
            if self._closing is not None:
                raise Draining("the server is shutting down", hint="send the request to another one, or again later")
            waiting = self._waiting()
            if waiting - (self._places - len(self._running)) >= self._max_queue:
                turns = (waiting + 1) / self._places
                raise Busy(
                    f"{waiting} requests are waiting already",
                    retry_after=max(1.0, turns * self._running.reply_seconds),
                    hint="try again later, or start the server with a larger --max-queue",
                )
            sequence = TokenSequence(request, deliver, self.context_length - len(request.prompt), self._wake)
            self._queue.append(sequence)
            self._changed.notify_all()
        return sequence

    def adapters_changed(self) -> None:
        with self._changed:
            self._adapters_changed = True
            self._changed.notify_all()

    def stats(self) -> EngineStats:
        with self._changed:
            counts = self._running.counts
            return EngineStats(
                queued=self._waiting(),
                running=len(self._running),
                places=self._places,
                queue_limit=self._max_queue,
                prompt_tokens=counts.prompt_tokens,
                reused_tokens=counts.reused_tokens,
                completion_tokens=counts.completion_tokens,
                steps=counts.steps,
                cache_bytes=self._running.cache_bytes,
                cache_limit=self._cache_limit,
                drain_seconds=None if self._closing is None else max(0.0, self._closing - time.monotonic()),
            )

    def wait_for(self, reached: Callable[[EngineStats], bool], timeout: float | None = None) -> bool:
        """Wait until the stats are so, as of between two steps; False if they weren't within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: reached(self.stats()), timeout)

    @property
    def ended(self) -> bool:
        """Whether the engine's thread is over."""
        return not self._thread.is_alive()

    def close(self, drain_seconds: float = 0.0) -> None:
        with self._changed:
            self._closing = time.monotonic() + drain_seconds
            self._changed.notify_all()
        self._thread.join()

    def _waiting(self) -> int:
        return sum(not sequence.cancelled for sequence in self._queue)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # What follows runs on the engine's thread.

    def _run(self) -> None:
        try:
            while self._wait():
                self._drop_retired()
                self._drop_cancelled()
                self._admit()
                try:
                    self._running.step()
                except Exception as error:  # a mistake of ours: what runs ends with it, and others go on
                    log.exception("a step failed")
                    self._running.fail(YoutuOnnxError(f"the server failed ({type(error).__name__}: {error})"))
                self._wake()
        finally:
            self._end()

    def _wait(self) -> bool:
        """Until there is something to do; False when the engine is to end."""
        with self._changed:
            while not (self._queue or len(self._running) or self._adapters_changed):
                if self._closing is not None:
                    return False
                self._changed.wait()
            return self._closing is None or time.monotonic() < self._closing

    def _drop_retired(self) -> None:
        with self._changed:
            changed, self._adapters_changed = self._adapters_changed, False
        if changed:
            self._running.drop_retired()

    def _drop_cancelled(self) -> None:
        with self._changed:
            gone = [sequence for sequence in self._queue if sequence.cancelled]
            self._queue = deque(sequence for sequence in self._queue if not sequence.cancelled)
        for sequence in gone:
            sequence.end("cancelled")
        self._running.drop_cancelled()

    def _admit(self) -> None:
        """Give places to those that wait, the first first. Where there is no memory for one, those behind it that there is room
        for go ahead, but not for ever: whoever runs ends at some time, and then the memory is the first one's."""
        with self._changed:
            passed: list[TokenSequence] = []
            for sequence in list(itertools.islice(self._queue, LOOKED_AT)):
                if len(self._running) >= self._places or any(one.overtaken >= MOST_OVERTAKEN for one in passed):
                    break
                if not self._running.has_room(sequence):
                    passed.append(sequence)
                    continue
                self._queue.remove(sequence)
                self._running.add(sequence)
                for one in passed:
                    one.overtaken += 1
            waiting = [sequence for sequence in self._queue if not sequence.cancelled]
        for position, sequence in enumerate(waiting, 1):
            sequence.waits(position)

    def _requeue(self, sequence: TokenSequence) -> None:
        """It was preempted: it waits again, before all that came later."""
        with self._changed:
            bisect.insort(self._queue, sequence, key=lambda one: one.number)

    def _end(self) -> None:
        """End all that is left, and take no more: the thread is over, also where nobody closed the engine."""
        with self._changed:
            self._closing = time.monotonic() if self._closing is None else self._closing
            left = [*self._queue, *self._running.clear()]
            self._queue.clear()
        for sequence in left:
            sequence.end("cancelled")
        self._running.close()
        self._wake()


def _check(batch: Batch, places: int | None, max_queue: int, context: int | None) -> None:
    """
    Raises:
        UsageError: numbers that can't be.
    """
    if max_queue < 0:
        raise UsageError(f"a queue of {max_queue} requests can't be", hint="pass a number from 0")
    if context is not None and not 2 <= context <= batch.context_length:
        raise UsageError(
            f"a context of {context:,} tokens can't be: this bundle has room for 2 to {batch.context_length:,}",
            hint="leave --context away, or choose a number within these",
        )
    if places is not None and not 1 <= places <= batch.count:
        raise UsageError(
            f"{places} replies can't be written at once: this bundle has places for 1 to {batch.count}",
            hint="leave --places away, or choose a number within these",
        )
