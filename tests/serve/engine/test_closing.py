"""How an engine ends; and many threads at once."""

from __future__ import annotations

import random
import threading

import pytest

from tests.serve.engine.fake_batch import BYTES, PATIENCE, VOCABULARY, greedy
from tests.serve.engine.replies import PLENTY, Open, Reply, request, submit
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.serve.engine.engine import Busy, Draining


def test_closing_lets_replies_end(opened: Open) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        replies = [submit(engine, [one], 20) for one in range(3)]
        batch.reached()
        closing = threading.Thread(target=engine.close, args=(PATIENCE,))
        closing.start()
        assert engine.wait_for(lambda stats: not stats.taking, PATIENCE)
        with pytest.raises(Draining):
            submit(engine, [9])
    for one, reply in enumerate(replies):
        assert reply.end().reason == "length" and reply.ids == greedy([one], 20)
    closing.join(PATIENCE)
    assert not closing.is_alive() and batch.closed == 1


def test_closing_cancels_what_does_not_end_in_time(opened: Open) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        replies = [submit(engine, [one], 200) for one in range(3)]
        batch.reached()
        closing = threading.Thread(target=engine.close)
        closing.start()
        assert engine.wait_for(lambda stats: not stats.taking, PATIENCE)
    assert [reply.end().reason for reply in replies] == ["cancelled"] * 3
    closing.join(PATIENCE)
    assert len(batch.done) == 1 and batch.closed == 1


def test_a_second_close_cuts_the_first_one_short(opened: Open) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        reply = submit(engine, [1], 200)
        batch.reached()
        patient, hurried = (threading.Thread(target=engine.close, args=(seconds,)) for seconds in (10 * PATIENCE, 0))
        patient.start()
        assert engine.wait_for(lambda stats: not stats.taking, PATIENCE)
        hurried.start()
        assert engine.wait_for(lambda stats: stats.drain_seconds == 0, PATIENCE)
    assert reply.end().reason == "cancelled"
    patient.join(PATIENCE), hurried.join(PATIENCE)
    assert not patient.is_alive() and not hurried.is_alive()
    engine.close()


def test_closing_an_idle_engine(opened: Open) -> None:
    engine, batch = opened()
    engine.close(PATIENCE)
    assert batch.closed == 1 and not batch.done
    with pytest.raises(Draining):
        submit(engine, [1])


@pytest.mark.parametrize("limit", [PLENTY, 400 * BYTES])
def test_many_threads_at_once(opened: Open, limit: int) -> None:
    engine, batch = opened(
        count=3,
        max_queue=5,
        cache_limit=limit,
        in_turns=limit == PLENTY,
        fails=lambda sequences: ResourceError("unlucky") if any(sum(ids) % 1009 == 0 for ids in sequences) else None,
    )
    taken: list[tuple[list[int], int, Reply, bool]] = []

    def client(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(12):
            prompt = [*range(chance.choice((0, 20, 40))), *(chance.randrange(VOCABULARY) for _ in range(chance.randint(1, 30)))]
            length, cancelled = chance.randint(1, 30), chance.random() < 0.4
            at = chance.randint(0, 10)
            told = threading.Semaphore(0)
            reply = Reply(lambda event, told=told: told.release())
            try:
                ticket = engine.submit(request(prompt, length), reply)
            except Busy:
                continue
            taken.append((prompt, length, reply, cancelled))
            for _ in range(at if cancelled else 0):
                told.acquire(timeout=0.01)
            if cancelled:
                ticket.cancel()
            elif chance.random() < 0.5:
                reply.end()

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) > 8
    for prompt, length, reply, cancelled in taken:
        ended = reply.end()
        assert reply.ids == greedy(prompt, length)[: len(reply.ids)]
        assert ended.reason == "length" or cancelled or isinstance(ended.error, ResourceError)
    stats = engine.stats()
    assert (stats.queued, stats.running) == (0, 0)
    assert stats.completion_tokens == sum(len(reply.ids) for *_, reply, _ in taken)
    assert max(step.memory for step in batch.done) <= limit
