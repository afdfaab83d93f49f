"""Caches stay within their memory: kept prefixes go first, then the youngest sequence is preempted."""

from __future__ import annotations

import threading

from tests.serve.engine.fake_batch import BYTES, greedy
from tests.serve.engine.replies import SMALL, Open, Reply, computed, request, submit
from youtu_onnx.serve.engine.request import Ended, Event
from youtu_onnx.serve.engine.scheduler import MOST_OVERTAKEN


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


def test_shorter_requests_go_ahead_of_one_that_waits_for_memory(opened: Open) -> None:
    engine, batch = opened(chunks=SMALL, count=4, cache_limit=400 * BYTES)
    with batch.held():
        first = submit(engine, [1] * 100, 90)
        batch.reached()
        batch.let(14)
        long, short = submit(engine, [2] * 180, 5), submit(engine, [3] * 10, 5)
        batch.let(8)
        assert short.end().reason == "length"
        assert engine.stats().queued == 1 and engine.stats().running == 1, "the long one still waits"
    for reply, prompt in ((first, [1] * 100), (long, [2] * 180), (short, [3] * 10)):
        reply.end()
        assert reply.ids == greedy(prompt, len(reply.ids))
    assert batch.most_memory <= 400 * BYTES


def test_one_that_waits_for_memory_is_not_overtaken_for_ever(opened: Open) -> None:
    """New short requests for ever: each one's end brings the next."""
    engine, batch = opened(chunks=SMALL, count=4, cache_limit=400 * BYTES)
    others: list[Reply] = []
    over = threading.Event()

    def again(event: Event) -> None:
        if isinstance(event, Ended) and not over.is_set() and len(others) < 1000:
            others.append(Reply(again))
            engine.submit(request([3 + len(others) % 50] * 50, 20), others[-1])

    with batch.held():
        for _ in range(3):
            again(Ended("stop"))
        batch.reached()
        batch.let(4)
        long = Reply(lambda event: over.set())
        engine.submit(request([1] * 190, 5), long)
    assert long.end().reason == "length"
    assert len(others) <= MOST_OVERTAKEN + 3 + 3, "those that ran when it came, and those that went ahead of it"


def test_room_is_made_before_what_prompts_share_is_copied(opened: Open) -> None:
    limit = 500 * BYTES
    engine, batch = opened(count=3, cache_limit=limit)
    system = [*range(90)]
    for one in range(6):
        replies = [submit(engine, [*system, 90 + one, *[two] * 30], 40) for two in range(3)]
        assert all(reply.end().error is None for reply in replies)
    assert batch.most_memory <= limit
