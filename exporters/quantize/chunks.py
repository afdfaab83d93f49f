"""Large matrices a few rows at a time, one thread a chunk."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

CHUNK = 2**19
"""Numbers that a thread quantizes at once: 2 MiB in float32, which stay in the processor's cache from step to step."""

_THREADS = ThreadPoolExecutor(os.cpu_count(), "quantize", initializer=lambda: torch.set_num_threads(1))
"""Chunks are spread over the cores; torch's own threads would meet after every small step."""

T = TypeVar("T")


def chunk_rows(columns: int) -> int:
    """Rows of a chunk."""
    return max(1, CHUNK // max(1, columns))


def by_rows(work: Callable[[int, int], T], rows: int, columns: int) -> list[T]:
    """``work(start, stop)`` of every chunk of rows, in order."""
    step = chunk_rows(columns)
    return list(_THREADS.map(lambda start: work(start, min(start + step, rows)), range(0, rows, step)))
