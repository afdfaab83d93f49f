"""Continuous batching: an :class:`~youtu_onnx.serve.engine.engine.Engine` over a :class:`youtu_onnx.runtimes.batch.Batch`.

One thread runs the model. Each step takes the next token of every reply that is being written, and beside them a piece of one
prompt; between steps replies join and leave. So

- a reply that is being written never waits for a whole prompt, only for a piece of it (``PIECE_SECONDS``);
- of several prompts, the one with the least left goes first, which gives the shortest waiting time in the mean; every
  ``OLDEST_EVERY``-th piece is the oldest one's, so that short ones can't keep a long one waiting for ever;
- rows of ended replies stay until their memory is wanted, and prompts that begin alike, among them the turns of a conversation,
  compute what they share once (``prefixes.py``);
- where memory runs out, kept rows go first; then the youngest reply gives up its rows and computes them again later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from youtu_onnx.core.errors import ResourceError, UsageError, YoutuOnnxError
from youtu_onnx.serve.engine.engine import Busy, Draining, EngineStats, Event, Request
from youtu_onnx.serve.engine.job import Job
from youtu_onnx.serve.engine.prefixes import Prefixes, Rows

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from youtu_onnx.runtimes.batch import Batch, Chunk
    from youtu_onnx.runtimes.providers.options import ProviderOptions

log = logging.getLogger(__name__)

MAX_QUEUE = 64
PIECE_SECONDS = 0.4
"""What a piece of a prompt may add to a step while others are waiting for their next token."""
SMALLEST_PIECE, LARGEST_PIECE = 64, 256
"""Tokens; with fewer than the first the graph computes attention in the order that is slower for prompts."""
OLDEST_EVERY = 4
CACHE_SHARE = 0.5
"""Of the memory that is free when an engine is opened, what caches may take unless the user says otherwise."""


class Scheduler:
    """Implements :class:`youtu_onnx.serve.engine.engine.Engine`."""

    def __init__(
        self, batch: Batch, *, places: int | None = None, max_queue: int = MAX_QUEUE, context: int | None = None, cache_limit: int
    ) -> None:
        """
        Args:
            places: replies that are written at once; None: as many as the batch has places for.
            max_queue: requests that may wait for a place.
            context: the most tokens of a prompt and its reply; None: as many as the model has positions.
            cache_limit: bytes that all caches may take together.

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
        self._places = places or batch.count
        self.vocab_size, self.context_length = batch.vocab_size, context or batch.context_length
        if cache_limit < 256 * batch.bytes_per_token:
            raise ResourceError(
                f"{cache_limit / 1e6:.0f} MB for caches are too little: a token takes {batch.bytes_per_token / 1e3:.0f} kB",
                hint="give --cache-memory more",
            )
        room = cache_limit // (2 * batch.bytes_per_token)  # buffers grow by half, and one of them is twice there meanwhile
        if context is not None and context > room:
            raise ResourceError(
                f"{cache_limit / 1e9:.1f} GB for caches have room for {room:,} tokens, not for a context of {context:,}",
                hint="give --cache-memory more, or choose a shorter --context",
            )
        self.context_length = min(self.context_length, room)
        self._batch, self._max_queue, self._cache_limit = batch, max_queue, cache_limit
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._reading: list[Job] = []  # their prompts are being run
        self._writing: dict[int, Job] = {}  # by place
        self._kept = Prefixes()
        self._closing: float | None = None  # when to cancel what still runs
        self._pieces = self._steps = self._prompt_tokens = self._reused_tokens = self._completion_tokens = 0
        self._speed = 100.0  # prompt tokens a second, as measured last
        self._duration = 1.0  # of a reply, likewise
        self._cache_bytes = 0
        self._thread = threading.Thread(target=self._run, name="youtu-onnx engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request, deliver: Callable[[Event], None]) -> Job:
        self._check(request)
        with self._changed:
            if self._closing is not None:
                raise Draining("the server is shutting down", hint="send the request to another one, or again later")
            free = self._places - len(self._reading) - len(self._writing)
            if (waiting := self._waiting()) - free >= self._max_queue:
                turns = (waiting + 1) / self._places
                raise Busy(
                    f"{waiting} requests are waiting already",
                    retry_after=max(1.0, turns * self._duration),
                    hint="try again later, or start the server with a larger --max-queue",
                )
            job = Job(request, deliver, self.context_length - len(request.prompt), self._wake)
            self._queue.append(job)
            self._changed.notify()
        return job

    def stats(self) -> EngineStats:
        with self._changed:
            return EngineStats(
                self._waiting(),
                len(self._reading) + len(self._writing),
                self._places,
                self._max_queue,
                self._prompt_tokens,
                self._reused_tokens,
                self._completion_tokens,
                self._steps,
                self._cache_bytes,
                self._cache_limit,
                taking=self._closing is None,
            )

    def close(self, drain_seconds: float = 0.0) -> None:
        with self._changed:
            self._closing = time.monotonic() + drain_seconds
            self._changed.notify()
        self._thread.join()

    def _waiting(self) -> int:
        return sum(not job.cancelled for job in self._queue)

    def _check(self, request: Request) -> None:
        from youtu_onnx.runtimes.decoder import check_ids

        check_ids(request.prompt, length=0, context_length=self.context_length - 1, vocab_size=self.vocab_size)
        if request.max_tokens < 1:
            raise UsageError(f"max_tokens is {request.max_tokens}; expected a whole number from 1")

    def _wake(self, job: Job) -> None:
        with self._changed:
            self._changed.notify()

    # What follows runs on the engine's thread.

    def _run(self) -> None:
        try:
            while self._wait():
                self._drop_cancelled()
                self._admit()
                try:
                    self._step()
                except Exception as error:  # a mistake of ours: what runs ends with it, and others go on
                    log.exception("a step failed")
                    for job in [*self._reading, *self._writing.values()]:
                        self._fail(job, YoutuOnnxError(f"the server failed ({type(error).__name__}: {error})"))
        finally:
            for job in self._all():
                job.rows = None
                job.end("cancelled")
            self._kept.clear()
            self._cache_bytes = 0
            self._batch.close()

    def _wait(self) -> bool:
        """Until there is something to do; False when the engine is to end."""
        with self._changed:
            while not (self._queue or self._reading or self._writing):
                if self._closing is not None:
                    return False
                self._changed.wait()
            return self._closing is None or time.monotonic() < self._closing

    def _all(self) -> list[Job]:
        """All jobs, which are left to nobody: the engine takes no more."""
        with self._changed:
            self._closing = self._closing or time.monotonic()  # or else the thread ends of something that nobody expected
            jobs = [*self._queue, *self._reading, *self._writing.values()]
            self._queue.clear()
            self._reading, self._writing = [], {}
        return jobs

    def _drop_cancelled(self) -> None:
        with self._changed:
            gone = [job for job in self._queue if job.cancelled]
            self._queue = deque(job for job in self._queue if not job.cancelled)
        for job in gone:
            job.end("cancelled")
        for job in [one for one in (*self._reading, *self._writing.values()) if one.cancelled]:
            self._finish(job)
            job.end("cancelled")

    def _admit(self) -> None:
        while True:
            with self._changed:
                running = [*self._reading, *self._writing.values()]
                if not self._queue or len(running) >= self._places or not self._has_room(self._queue[0], running):
                    return
                self._reading.append(self._queue.popleft())

    def _has_room(self, job: Job, running: list[Job]) -> bool:
        """Whether it can begin beside these without taking their memory, which would have it postponed at once."""
        sizes = [max(one.rows.cache.nbytes if one.rows else 0, self._batch.cache_bytes(len(one.ids))) for one in running]
        return not running or sum(sizes) + self._batch.cache_bytes(len(job.ids)) <= self._cache_limit

    def _step(self) -> None:
        reader = self._next_reader()
        self._make_room(reader)
        if reader not in self._reading:  # it had to make room
            reader = None
        if not reader and not self._writing:
            return
        piece = reader.ids[len(reader.rows.ids) :][: self._piece(reader)] if reader else []
        whole = reader is not None and len(piece) == reader.missing
        alone, started = not self._writing, time.monotonic()
        for job, logits in self._computed(dict(self._writing), reader, piece, whole):
            self._advance(job, logits)
        if alone and len(piece) >= SMALLEST_PIECE:
            self._speed += (len(piece) / max(time.monotonic() - started, 1e-6) - self._speed) / 4
        self._steps += 1

    def _next_reader(self) -> Job | None:
        """Whose prompt goes on; it has a cache."""
        while self._reading:
            self._pieces += 1
            oldest = self._pieces % OLDEST_EVERY == 0
            job = min(self._reading, key=(lambda one: one.number) if oldest else (lambda one: one.missing))
            try:
                if job.rows is None:
                    self._begin(job)
                if job.missing == 1:  # as that of a reply that is being written
                    self._write(job)
                    continue
                return job
            except YoutuOnnxError as error:
                self._fail(job, error)
        return None

    def _begin(self, job: Job) -> None:
        rows = Rows(self._batch.new_cache(), [])
        reused = self._kept.begin(rows, job.ids, self._running_rows())
        if job.begin(rows, reused):  # and not again after it was postponed
            self._prompt_tokens += len(job.ids)
            self._reused_tokens += reused

    def _write(self, job: Job) -> None:
        self._reading.remove(job)
        self._writing[next(place for place in range(self._places) if place not in self._writing)] = job

    def _piece(self, reader: Job) -> int:
        """Tokens of a prompt to run next; a small rest goes along, since a step of it would read all weights once more."""
        size = LARGEST_PIECE if not self._writing else int(self._speed * PIECE_SECONDS)
        size = min(max(size, SMALLEST_PIECE), LARGEST_PIECE)
        return reader.missing if reader.missing <= size + size // 2 else size

    def _computed(
        self, writing: dict[int, Job], reader: Job | None, piece: list[int], whole: bool
    ) -> list[tuple[Job, np.ndarray]]:
        """Run a step; each job that has a next token to choose, and logits ``[V]`` for it.

        Where it fails, every sequence is tried alone, so that one's failure is its own.
        """
        try:
            return self._stepped(writing, reader, piece, whole)
        except YoutuOnnxError as error:
            alone = [({place: job}, None) for place, job in writing.items()] + ([({}, reader)] if reader else [])
            if len(alone) == 1:
                self._fail(next(iter(writing.values()), reader), error)
                return []
        found = []
        for tokens, one in alone:
            found += self._computed(tokens, one, piece, whole)
        return found

    def _stepped(
        self, writing: dict[int, Job], reader: Job | None, piece: list[int], whole: bool
    ) -> list[tuple[Job, np.ndarray]]:
        from youtu_onnx.runtimes.batch import Chunk

        for job in (*writing.values(), *([reader] if reader else [])):
            job.rows.cache.truncate(len(job.rows.ids))  # one that took its turn before another failed takes it again
        tokens = {place: (job.rows.cache, job.ids[-1]) for place, job in writing.items()}
        chunk: Chunk | None = Chunk(reader.rows.cache, piece, whole) if reader else None
        rows = self._batch.step(tokens, chunk)
        jobs = [writing[place] for place in sorted(tokens)]
        for job in jobs:
            job.rows.ids.append(job.ids[-1])
        if reader:
            reader.rows.ids += piece
            if whole:
                jobs.append(reader)
        return list(zip(jobs, rows, strict=True))

    def _advance(self, job: Job, logits: np.ndarray) -> None:
        before = job.completion_tokens
        try:
            reason = "cancelled" if job.cancelled else job.advance(logits)
        except YoutuOnnxError as error:
            self._fail(job, error)
            return
        except Exception as error:  # of a constraint's library
            self._fail(job, YoutuOnnxError(f"the reply can't go on ({type(error).__name__}: {error})"))
            return
        self._completion_tokens += job.completion_tokens - before
        if reason:
            self._finish(job)  # first, so that whoever hears of the end finds the place free
            job.end(reason)
            self._duration += (job.seconds - self._duration) / 4
        elif job in self._reading:
            self._write(job)

    def _finish(self, job: Job) -> None:
        """Give up its place, and keep its rows for others."""
        self._leave(job)
        if job.rows is not None:
            self._kept.keep(job.rows)
            job.rows = None
        self._make_room()

    def _fail(self, job: Job, error: YoutuOnnxError) -> None:
        self._leave(job)
        job.rows = None
        job.end("cancelled", _without_frames(error))

    def _leave(self, job: Job) -> None:
        if job in self._reading:
            self._reading.remove(job)
        self._writing = {place: one for place, one in self._writing.items() if one is not job}

    def _running_rows(self) -> list[Rows]:
        return [job.rows for job in (*self._reading, *self._writing.values()) if job.rows is not None]

    def _growth(self, reader: Job | None) -> int:
        """Bytes by which buffers may grow in a step."""
        grown = [(job, 1) for job in self._writing.values()]
        if reader in self._reading:
            grown.append((reader, self._piece(reader)))
        wanted = 0
        for job, tokens in grown:
            total, there = len(job.rows.ids) + tokens, job.rows.cache.nbytes
            wanted += self._batch.cache_bytes(total) - there if total * self._batch.bytes_per_token > there else 0
        return wanted

    def _make_room(self, reader: Job | None = None) -> None:
        """Free memory until a step fits: kept rows first, then the youngest reply's, which starts over later."""
        while (used := self._used()) + self._growth(reader) > self._cache_limit:
            if self._kept.drop_oldest():
                continue
            victims = [job for job in (*self._writing.values(), *self._reading) if job.rows is not None]
            if len(victims) < 2:
                break  # a context's length is within the limit
            self._postpone(max(victims, key=lambda job: job.number))
        self._cache_bytes = used

    def _postpone(self, job: Job) -> None:
        self._leave(job)
        job.rows = None
        with self._changed:
            self._queue.appendleft(job)

    def _used(self) -> int:
        return self._kept.nbytes + sum(rows.cache.nbytes for rows in self._running_rows())


def _without_frames(error: YoutuOnnxError) -> YoutuOnnxError:
    """An error whose tracebacks hold no caches in memory for as long as somebody holds it."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__, one = None, one.__cause__ or one.__context__
    return error


def open_engine(
    bundle: str | Path,
    *,
    provider: str | None = None,
    threads: int | None = None,
    options: ProviderOptions | None = None,
    places: int | None = None,
    max_queue: int = MAX_QUEUE,
    context: int | None = None,
    cache_memory: int | None = None,
) -> Scheduler:
    """Open a bundle to answer several requests at once.

    Args:
        bundle: its folder.
        provider, threads, options: as in :func:`runtimes.open_decoder`.
        places, max_queue, context: as in :class:`Scheduler`.
        cache_memory: bytes for all caches; None: half of what is free when the model is loaded.

    Raises:
        As :func:`runtimes.open_decoder`.
    """
    import psutil

    from youtu_onnx.chat.model import variant_for
    from youtu_onnx.core.bundle import Bundle
    from youtu_onnx.runtimes import open_batch

    opened = Bundle.open(bundle, target=variant_for(provider))
    batch = open_batch(opened, provider, threads, options=options)
    limit = int(psutil.virtual_memory().available * CACHE_SHARE) if cache_memory is None else cache_memory
    return Scheduler(batch, places=places, max_queue=max_queue, context=context, cache_limit=limit)
