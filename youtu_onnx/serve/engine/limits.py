"""What an engine may take of a machine, and the part of one of several."""

from __future__ import annotations

from dataclasses import dataclass, replace

from youtu_onnx.core.machine import memory
from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.engine.scheduler import CACHE_SHARE, MAX_QUEUE


@dataclass(frozen=True)
class Limits:
    """Fields are as in :func:`youtu_onnx.serve.engine.scheduler.open_engine`, which takes them all."""

    threads: int | None = None
    places: int | None = None
    max_queue: int = MAX_QUEUE
    context: int | None = None
    cache_memory: int | None = None


def share(count: int, limits: Limits) -> Limits:
    """Each one's part where ``count`` engines share a machine: of the cores, unless ``threads`` says how many each has, of the
    queue and of the memory for caches. Places and context are each one's own."""
    from youtu_onnx.runtimes.ort.threads import thread_count

    caches = limits.cache_memory or int(memory()[1] * CACHE_SHARE)
    threads = thread_count(limits.threads)
    return replace(
        limits,
        threads=threads if limits.threads else max(1, threads // count),
        max_queue=-(-limits.max_queue // count),
        cache_memory=caches // count,
    )


def capacity(engine: Engine) -> str:
    """A line for the user."""
    stats = engine.stats()
    return (
        f"{stats.places} replies at once, {stats.queue_limit} may wait, {engine.context_length} tokens of context each, "
        f"at most {stats.cache_limit / 1e6:,.0f} MB of cached tokens"
    )
