"""Requests with different adapters: each gets the reply of its own, and nothing that was computed for another.

The FakeBatch's replies depend on the adapter, and it refuses a cache that another adapter's step has written.
"""

from __future__ import annotations

import pytest

from tests.serve.engine.fake_batch import FakeBatch, greedy
from tests.serve.engine.replies import GREEDY, PATIENCE, PLENTY, SMALL, Open, submit
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.serve.engine.prefix_cache import CachedSequence, PrefixCache
from youtu_onnx.serve.engine.scheduler import Scheduler

A, B = ActiveAdapter("a", {}), ActiveAdapter("b", {})
PROMPT = [*range(40)]


@pytest.mark.parametrize("more", [{}, {"sampling": GREEDY}])
def test_each_gets_its_own_adapters_reply(opened: Open, more: dict[str, object]) -> None:
    engine, batch = opened(chunks=SMALL)
    with batch.held():
        asked = [
            (adapter, [*PROMPT, number], submit(engine, [*PROMPT, number], 9, adapter=adapter, **more))
            for number, adapter in enumerate((A, None, B, A, B, None, A))
        ]
        batch.reached()
    for adapter, prompt, reply in asked:
        reply.end()
        assert reply.ids == greedy(prompt, 9, adapter.name if adapter else "")
    assert {step.adapter for step in batch.done} == {"a", "b", None}


def test_adapters_take_turns(opened: Open) -> None:
    engine, batch = opened()
    with batch.held():
        replies = [submit(engine, [number], 20, adapter=adapter) for number, adapter in enumerate((A, A, B, None))]
        batch.reached()
        batch.let(30)
        turns = [step.adapter for step in batch.done[9:]]
        assert all(set(turns[start : start + 3]) == {"a", "b", None} for start in range(len(turns) - 2))
        assert any(len(step.slots) == 2 for step in batch.done if step.adapter == "a"), "those of one adapter share steps"
    for reply in replies:
        reply.end()


def test_a_prefix_is_never_another_adapters(opened: Open) -> None:
    engine, _ = opened()
    for adapter in (None, A, B):
        reply = submit(engine, [*PROMPT, 50], 5, adapter=adapter)
        assert reply.end().reused_tokens == 0
        assert reply.ids == greedy([*PROMPT, 50], 5, adapter.name if adapter else "")
    for adapter in (A, None, B):
        reply = submit(engine, [*PROMPT, 51], 5, adapter=adapter)
        assert reply.end().reused_tokens == 40
        assert reply.ids == greedy([*PROMPT, 51], 5, adapter.name if adapter else "")
    same_name = ActiveAdapter("a", {})
    assert submit(engine, [*PROMPT, 50], 5, adapter=same_name).end().reused_tokens == 0, "an adapter is no name"


def test_a_running_sequences_prefix_is_not_either(opened: Open) -> None:
    engine, batch = opened()
    with batch.held():
        first = submit(engine, [*PROMPT, 60], 100, adapter=A)
        batch.reached()
        batch.let(2)
        second = submit(engine, [*PROMPT, 61], 5, adapter=B)
        third = submit(engine, [*PROMPT, 62], 5, adapter=A)
        batch.let(20)
        assert second.end().reused_tokens == 0
        assert third.end().reused_tokens == 40
    first.end()


def test_what_is_kept_of_an_adapter_goes_with_it(opened: Open) -> None:
    engine, batch = opened()
    gone = ActiveAdapter("gone", {})
    submit(engine, PROMPT, 5, adapter=gone).end()
    submit(engine, PROMPT, 5).end()
    assert engine.wait_for(lambda stats: stats.running == 0, PATIENCE)
    before = batch.memory()
    gone.retired = True
    engine.adapters_changed()
    assert engine.wait_for(lambda stats: stats.cache_bytes <= before // 2, PATIENCE)
    assert batch.memory() <= before // 2
    late = submit(engine, PROMPT, 5, adapter=gone)
    assert late.end().reused_tokens == 0 and late.ids == greedy(PROMPT, 5, "gone"), "a reply that has begun ends"
    assert engine.wait_for(lambda stats: stats.running == 0, PATIENCE)
    assert batch.memory() <= before // 2, "and leaves nothing"


def test_one_adapters_failure_is_its_own() -> None:
    batch = FakeBatch(fails=lambda sequences: ValueError("no") if any(ids[0] == 7 for ids in sequences) else None)
    engine = Scheduler(batch, cache_limit=PLENTY)
    try:
        good, bad = submit(engine, [1, 2], 5, adapter=A), submit(engine, [7, 2], 5, adapter=B)
        assert bad.end().error is not None
        assert good.end().reason in ("length", "cancelled")
        again = submit(engine, [1, 2], 5, adapter=B)
        again.end()
        assert again.ids == greedy([1, 2], 5, "b")
    finally:
        engine.close()


def test_a_cut_cache_is_still_its_adapters() -> None:
    prefixes = PrefixCache(FakeBatch())
    cached = CachedSequence(FakeBatch().new_cache(), [*range(60)], adapter=A)
    cached.cache.append(range(60))  # type: ignore[attr-defined]
    prefixes.keep(cached)
    mine = prefixes.begin([*range(50), 99], [], PLENTY, adapter=A)
    assert mine.adapter is A and len(mine.ids) == 50
    other = prefixes.begin([*range(50), 99], [], PLENTY, adapter=B)
    assert other.adapter is B and other.ids == []
