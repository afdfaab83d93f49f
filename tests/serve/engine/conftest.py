"""Engines over a FakeBatch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serve.engine.fake_batch import FakeBatch
from tests.serve.engine.replies import PLENTY, Open
from youtu_onnx.serve.engine.prefill import ChunkSizes
from youtu_onnx.serve.engine.scheduler import Scheduler


@pytest.fixture
def opened() -> Iterator[Open]:
    """``opened(count=4, …)`` → an engine over a FakeBatch. Afterwards it is closed, and its thread has to end."""
    engines: list[tuple[Scheduler, FakeBatch]] = []

    def make(
        *,
        max_queue: int = 64,
        context: int | None = None,
        cache_limit: int = PLENTY,
        chunks: ChunkSizes | None = None,
        **batch: object,
    ) -> tuple[Scheduler, FakeBatch]:
        fake = FakeBatch(**batch)
        engine = Scheduler(fake, max_queue=max_queue, context=context, cache_limit=cache_limit, chunks=chunks)
        engines.append((engine, fake))
        return engines[-1]

    yield make
    for engine, fake in engines:
        engine.close()
        assert engine.ended
        assert fake.closed == 1
        assert (engine.stats().queued, engine.stats().running, engine.stats().cache_bytes) == (0, 0, 0)
