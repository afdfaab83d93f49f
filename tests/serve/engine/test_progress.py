"""What a request hears before its first token, if it asks for that: its place in the queue, and how far its prompt is read."""

from __future__ import annotations

from tests.serve.engine.fake_batch import VOCABULARY
from tests.serve.engine.replies import SMALL, Open, Reply, request, submit
from youtu_onnx.serve.engine.request import PromptProgress, Queued, Token

LONG = [one % VOCABULARY for one in range(60)]


def progress(reply: Reply) -> list[PromptProgress]:
    return [event for event in reply.events if isinstance(event, PromptProgress)]


def queue(reply: Reply) -> list[int]:
    return [event.position for event in reply.events if isinstance(event, Queued)]


def test_a_prompt_is_told_chunk_by_chunk(opened: Open) -> None:
    engine, _ = opened(chunks=SMALL)
    reply = submit(engine, LONG, 3, progress=True)
    reply.end()
    told = progress(reply)
    assert [one.processed for one in told] == [0, 8, 16, 24, 32, 40, 48, 60]
    assert {(one.total, one.cached) for one in told} == {(60, 0)}
    assert [one.seconds for one in told] == sorted(one.seconds for one in told)
    assert isinstance(reply.events[len(told)], Token), "nothing of it comes after the first token"


def test_what_a_cache_held_is_told_first(opened: Open) -> None:
    engine, _ = opened(chunks=SMALL)
    submit(engine, LONG, 3).end()
    reply = submit(engine, [*LONG, 1, 2, 3], 3, progress=True)
    ended = reply.end()
    assert progress(reply)[0].cached == progress(reply)[0].processed == ended.reused_tokens == 60
    assert progress(reply)[-1].processed == 63


def test_those_who_do_not_ask_hear_nothing(opened: Open) -> None:
    engine, _ = opened(chunks=SMALL)
    reply = submit(engine, LONG, 3)
    reply.end()
    assert [type(event) for event in reply.events[:-1]] == [Token] * 3


def test_who_waits_hears_its_place_whenever_it_changes(opened: Open) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        first = submit(engine, [1], 3)
        batch.reached()
        second, third = (submit(engine, [2], 3, progress=True) for _ in range(2))
        leaving = Reply()
        ticket = engine.submit(request([3], 3, progress=True), leaving)
        last = submit(engine, [4], 3, progress=True)
        batch.let()
        ticket.cancel()
    for one in (first, second, third, last):
        one.end()
    assert (queue(second), queue(third), queue(leaving)) == ([1], [2, 1], [3])
    assert queue(last) == [4, 3, 2, 1]
    assert [one.processed for one in progress(last)] == [0, 1]


def test_a_preempted_prompt_is_not_told_backwards(opened: Open) -> None:
    engine, _ = opened(chunks=SMALL, cache_limit=270 * 100)
    replies = [submit(engine, [one + n for one in LONG[:50]], 40, progress=True) for n in range(4)]
    for reply in replies:
        reply.end()
        processed = [one.processed for one in progress(reply)]
        assert processed == sorted(set(processed)) and processed[-1] == 50
