"""Caches stay within their memory: kept prefixes go first, then the youngest sequence is preempted."""

from __future__ import annotations

from tests.serve.engine.fake_batch import BYTES, greedy
from tests.serve.engine.replies import SMALL, Open, computed, submit


def test_kept_prefixes_go_first(opened: Open) -> None:
    limit = 300 * BYTES
    engine, batch = opened(count=2, cache_limit=limit)
    for one in range(6):
        assert submit(engine, [one, *range(80)], 5).end().error is None
        assert engine.stats().cache_bytes <= limit
    assert max(step.memory for step in batch.done) <= limit
    again = submit(engine, [5, *range(80), 9], 2)
    assert again.end().reused_tokens == 81, "the newest is still there"
    assert submit(engine, [0, *range(80), 9], 2).end().reused_tokens == 0, "the oldest is not"


def test_the_youngest_sequence_is_preempted_and_its_text_is_the_same(opened: Open) -> None:
    limit = 400 * BYTES
    engine, batch = opened(count=4, cache_limit=limit)
    assert engine.context_length == 200
    with batch.held():
        replies = [submit(engine, [one] * 20, 150) for one in range(4)]
    ends: list[int] = []
    for one, reply in enumerate(replies):
        assert reply.end().reason == "length"
        assert reply.ids == greedy([one] * 20, 150)
        ends.append(
            max(
                place
                for place, step in enumerate(batch.done)
                if any(ids[:1] == (one,) for ids in (*step.slots.values(), step.prompt[:1]))
            )
        )
    assert ends[0] == min(ends), "the oldest was never kept waiting"
    assert max(step.memory for step in batch.done) <= limit
    assert computed(batch) > 4 * (20 + 149), "somebody was"
    assert computed(batch) < 8 * (20 + 149), "and not over and over"
    assert engine.stats().prompt_tokens == 80


def test_a_long_prompt_waits_for_memory_and_then_runs(opened: Open) -> None:
    engine, batch = opened(chunks=SMALL, count=3, cache_limit=400 * BYTES)
    with batch.held():
        first = submit(engine, [1] * 100, 90)
        batch.reached()
        batch.let(14)
        second, third = submit(engine, [2] * 150, 20), submit(engine, [3] * 10, 5)
    for reply, prompt in ((first, [1] * 100), (second, [2] * 150), (third, [3] * 10)):
        assert reply.end().reason == "length"
        assert reply.ids == greedy(prompt, len(reply.ids))
    assert max(step.memory for step in batch.done) <= 400 * BYTES
