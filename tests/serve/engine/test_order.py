"""Which sequence's tokens a step has."""

from __future__ import annotations

import threading

from tests.serve.engine.fake_batch import VOCABULARY
from tests.serve.engine.replies import SMALL, Open, Reply, request, submit
from youtu_onnx.serve.engine.request import Ended, Event


def test_a_prompts_chunks_run_beside_replies_that_go_on(opened: Open) -> None:
    engine, batch = opened(chunks=SMALL)
    long = [one % VOCABULARY for one in range(60)]
    with batch.held():
        first = submit(engine, [1], 30)
        batch.reached()
        batch.let()  # it has begun
        second = submit(engine, long, 5)
    first.end(), second.end()
    chunks = [step for step in batch.done if step.chunk]
    assert [len(step.chunk) for step in chunks] == [8] * 6 + [12]  # a small rest goes along
    assert all(step.slots for step in chunks), "the reply before it got a token in each step"
    assert len(batch.done) == 30, "a step gives every reply its token"


def test_alone_a_prompt_runs_in_large_chunks(opened: Open) -> None:
    engine, batch = opened()
    submit(engine, [one % VOCABULARY for one in range(255)], 1).end()
    assert [len(step.chunk) for step in batch.done] == [255]


def test_shorter_prompts_overtake(opened: Open) -> None:
    engine, batch = opened(chunks=SMALL)
    with batch.held():
        long = submit(engine, [1] * 100, 1)
        batch.reached()
        short = submit(engine, [2] * 10, 1)
    long.end(), short.end()
    lengths = [len(step.prompt) for step in batch.done]
    assert [step.prompt[0] for step in batch.done].index(2) == 1, "as soon as it came"
    assert lengths.index(10) < lengths.index(100)


def test_the_oldest_prompt_is_not_starved(opened: Open) -> None:
    """New short prompts for ever: each one's end brings the next."""
    engine, batch = opened(chunks=SMALL, count=2)
    others: list[Reply] = []

    def again(event: Event) -> None:
        if isinstance(event, Ended) and not long_over.is_set() and len(others) < 1000:
            others.append(Reply(again))
            engine.submit(request([2 + len(others) % 50] * 4, 1), others[-1])

    long_over = threading.Event()
    with batch.held():
        long = Reply(lambda event: long_over.set())
        engine.submit(request([1] * 100, 1), long)
        again(Ended("stop"))
    assert long.end().reason == "length"
    own = sum(step.prompt[:1] == (1,) for step in batch.done)
    between = [step.prompt[0] for step in batch.done]
    assert own == 12 and len(others) < 12 * SMALL.oldest_every  # 100 tokens in chunks of 8, the last with a rest of 4
    assert between.index(1) < SMALL.oldest_every
