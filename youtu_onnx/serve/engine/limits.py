"""What an engine may take of a machine, and the part of one of several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from youtu_onnx.core.machine import memory
from youtu_onnx.core.sizes import decimal
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.serve.engine.engine import Engine

MAX_QUEUE = 64
CACHE_SHARE = 0.5
"""Of the memory that is free when an engine is opened, what caches may take unless the user says otherwise."""


@dataclass(frozen=True)
class Limits:
    """What a user may set.

    Attributes:
        threads: of the CPU provider; None: one per physical core.
        places, max_queue, context: as in :class:`youtu_onnx.serve.engine.scheduler.Scheduler`.
        cache_memory: bytes for all caches; None: half of what is free when the model is loaded.
        prefix_folder: where prefixes outlive the engine; None: nowhere.
        prefix_bytes: of all files in that folder.
    """

    threads: int | None = None
    places: int | None = None
    max_queue: int = MAX_QUEUE
    context: int | None = None
    cache_memory: int | None = None
    prefix_folder: Path | None = None
    prefix_bytes: int = 4 << 30


def free_cache_memory(engines: int = 1) -> int:
    """Bytes that each of so many engines may take for caches, of what is free here, within a container's limit."""
    _, available = memory()
    return int(available * CACHE_SHARE / engines)


def share(count: int, limits: Limits) -> Limits:
    """Each one's part where ``count`` engines share a machine: of the cores, unless ``threads`` says how many each has, of the
    queue and of the memory for caches. Places and context are each one's own."""
    threads = thread_count(limits.threads)
    return replace(
        limits,
        threads=threads if limits.threads else max(1, threads // count),
        max_queue=-(-limits.max_queue // count),
        cache_memory=free_cache_memory(count) if limits.cache_memory is None else limits.cache_memory // count,
    )


def capacity(engine: Engine) -> str:
    """A line for the user."""
    stats = engine.stats()
    return (
        f"{stats.places} replies at once, {stats.queue_limit} may wait, {engine.context_length} tokens of context each, "
        f"at most {decimal(stats.cache_limit)} of cached tokens"
    )
