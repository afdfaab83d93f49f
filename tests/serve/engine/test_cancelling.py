"""A reply that nobody wants any more ends, wherever it is on its way, and others go on."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.serve.engine.fake_batch import PATIENCE, greedy
from tests.serve.engine.replies import SMALL, Open, Reply, request, submit
from youtu_onnx.serve.engine.request import Ended, Event, Token


def test_cancelled_in_the_queue(opened: Open) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        running = submit(engine, [1], 8)
        batch.reached()
        waiting = Reply()
        ticket = engine.submit(request([2]), waiting)
        ticket.cancel()
        ticket.cancel()
        batch.let()
        assert waiting.end() == replace(waiting.end(), reason="cancelled", completion_tokens=0, error=None)
        assert engine.stats().queued == 0
    assert running.end().reason == "length"
    assert not any(one[:1] == (2,) for step in batch.done for one in (*step.slots.values(), step.prompt))


def test_cancelled_while_its_prompt_is_read(opened: Open) -> None:
    engine, batch = opened(chunks=SMALL, count=1)
    with batch.held():
        reply = Reply()
        ticket = engine.submit(request([1] * 60), reply)
        batch.reached()
        batch.let(2)
        ticket.cancel()
        other = submit(engine, [2], 3)
        batch.let()  # the step that it stood before, and on to the next one
        assert reply.end().reason == "cancelled" and not reply.tokens
        assert engine.stats().running == 1
    assert other.end().reason == "length"
    assert max(len(step.prompt) for step in batch.done) == 24


def test_cancelled_while_it_is_written(opened: Open) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        reply = Reply()
        ticket = engine.submit(request([1], 50), reply)
        batch.reached()
        batch.let(3)
        ticket.cancel()
        other = submit(engine, [2], 3)
        batch.let()
        assert reply.end().reason == "cancelled"
        assert reply.ids == greedy([1], 50)[: len(reply.ids)] and 3 <= len(reply.ids) <= 4
    assert other.end().reason == "length"


def test_cancelled_by_whom_it_is_delivered_to(opened: Open) -> None:
    engine, _ = opened(count=1)
    tickets: list[object] = []
    ready = threading.Event()

    def cancel(event: Event) -> None:
        assert ready.wait(PATIENCE)
        tickets[0].cancel()

    reply = Reply(cancel)
    tickets.append(engine.submit(request([1], 50), reply))
    ready.set()
    assert reply.end().reason == "cancelled"
    assert len(reply.ids) == 1


def test_cancelled_after_its_end(opened: Open) -> None:
    engine, _ = opened()
    reply = Reply()
    ticket = engine.submit(request([1], 3), reply)
    assert reply.end().reason == "length"
    ticket.cancel()
    assert submit(engine, [2], 3).end().reason == "length"
    engine.close()
    ticket.cancel()
    assert reply.end().reason == "length"


@pytest.mark.parametrize("kind", [Token, Ended])
def test_a_listener_that_fails_is_left_and_others_go_on(opened: Open, kind: type) -> None:
    engine, _ = opened()

    def fail(event: Event) -> None:
        if isinstance(event, kind):
            raise RuntimeError("the connection is gone")

    reply, other = Reply(fail), Reply()
    engine.submit(request([1], 20), reply)
    engine.submit(request([2], 20), other)
    assert reply.end().reason == ("cancelled" if kind is Token else "length")
    assert len(reply.ids) == (1 if kind is Token else 20)
    assert other.end().error is None and other.ids == greedy([2], 20)
