"""What an engine refuses: requests and numbers that can't be, and more than its queue takes."""

from __future__ import annotations

import pytest

from tests.serve.engine.fake_batch import BYTES, CONTEXT, VOCABULARY, FakeBatch, greedy
from tests.serve.engine.replies import PLENTY, Open, Reply, request, submit
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.serve.engine.engine import Busy
from youtu_onnx.serve.engine.request import Request
from youtu_onnx.serve.engine.scheduler import Scheduler


@pytest.mark.parametrize("bad", [request([]), request([VOCABULARY]), request([-1]), request([1] * CONTEXT), request([1], 0)])
def test_impossible_requests_are_refused(opened: Open, bad: Request) -> None:
    engine, _ = opened()
    reply = Reply()
    with pytest.raises(UsageError):
        engine.submit(bad, reply)
    assert engine.stats().queued == engine.stats().running == 0
    assert not reply.events


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        ({"max_queue": -1}, UsageError),
        ({"context": 1}, UsageError),
        ({"context": CONTEXT + 1}, UsageError),
        ({"cache_limit": 255 * BYTES}, ResourceError),
        ({"cache_limit": 300 * BYTES, "context": 200}, ResourceError),
    ],
)
def test_impossible_engines_are_refused(numbers: dict[str, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        Scheduler(FakeBatch(), **({"cache_limit": PLENTY} | numbers))


@pytest.mark.parametrize("max_queue", [0, 1, 3])
def test_the_queue_takes_exactly_so_many(opened: Open, max_queue: int) -> None:
    engine, batch = opened(count=2, max_queue=max_queue)
    with batch.held():
        replies = [submit(engine, [one], 3) for one in range(2 + max_queue)]
        for _ in range(2):
            with pytest.raises(Busy) as caught:
                submit(engine, [9])
            assert caught.value.retry_after >= 1
            batch.reached()  # it is the same whether places are taken yet or not
        assert engine.stats().queue_limit == max_queue
        assert (engine.stats().queued + engine.stats().running, engine.stats().places) == (2 + max_queue, 2)
    for one, reply in enumerate(replies):
        assert reply.end().error is None and reply.ids == greedy([one], 3)


@pytest.mark.parametrize("max_tokens", [1, 4])
def test_whoever_hears_of_an_end_finds_the_place_free(opened: Open, max_tokens: int) -> None:
    engine, _ = opened(count=1, max_queue=0)
    for one in range(15):
        reply = submit(engine, [one], max_tokens)  # Busy if the last one was still there
        assert reply.end().reason == "length"
        assert engine.stats().running == 0
        assert engine.stats().completion_tokens == (one + 1) * max_tokens


def test_cancelled_requests_make_room_in_the_queue_at_once(opened: Open) -> None:
    engine, batch = opened(count=1, max_queue=1)
    with batch.held():
        submit(engine, [1])
        batch.reached()
        waiting = Reply()
        ticket = engine.submit(request([2]), waiting)
        ticket.cancel()
        other = submit(engine, [3])
        assert engine.stats().queued == 1
    assert waiting.end().reason == "cancelled" and not waiting.tokens
    assert other.end().reason == "length"
