"""The engine: replies are those of one sequence alone, whatever else it does; places, memory and failures are each one's own."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fake_batch import BYTES, CONTEXT, FIRST, PATIENCE, VOCABULARY, FakeBatch, greedy, logits_after
from youtu_onnx.chat.sampling import Sampler, Sampling
from youtu_onnx.core.errors import BundleError, ResourceError, UsageError, YoutuOnnxError
from youtu_onnx.serve.engine import scheduler as module
from youtu_onnx.serve.engine.engine import Busy, Draining, Ended, Event, Request, Token
from youtu_onnx.serve.engine.scheduler import Scheduler, open_engine

GREEDY = Sampling(greedy=True)
PLENTY = 10**9
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Reply:
    """What was delivered. ``on_event`` is called with each event, on the engine's thread."""

    def __init__(self, on_event: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self.threads: set[str] = set()
        self._on_event, self._over = on_event, threading.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.threads.add(threading.current_thread().name)
        if isinstance(event, Ended):
            self._over.set()
        self._on_event(event)

    def end(self) -> Ended:
        assert self._over.wait(PATIENCE), "the reply never ended"
        [ended] = [event for event in self.events if isinstance(event, Ended)]
        assert self.events[-1] is ended
        assert ended.completion_tokens == len(self.ids)
        assert min(ended.queue_seconds, ended.prefill_seconds, ended.decode_seconds) >= 0
        return ended

    @property
    def tokens(self) -> list[Token]:
        return [event for event in self.events if isinstance(event, Token)]

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]


def request(prompt: Sequence[int], max_tokens: int = 5, **more: object) -> Request:
    return Request(tuple(prompt), max_tokens, **({"sampling": GREEDY} | more))


def submit(engine: Scheduler, prompt: Sequence[int], max_tokens: int = 5, **more: object) -> Reply:
    reply = Reply()
    engine.submit(request(prompt, max_tokens, **more), reply)
    return reply


@pytest.fixture
def opened() -> Iterator[Callable[..., tuple[Scheduler, FakeBatch]]]:
    """``opened(count=4, …)`` → an engine over a FakeBatch. Afterwards it is closed, and its thread has to end."""
    engines: list[tuple[Scheduler, FakeBatch]] = []

    def make(
        *, max_queue: int = 64, context: int | None = None, cache_limit: int = PLENTY, **batch: object
    ) -> tuple[Scheduler, FakeBatch]:
        fake = FakeBatch(**batch)
        engines.append((Scheduler(fake, max_queue=max_queue, context=context, cache_limit=cache_limit), fake))
        return engines[-1]

    yield make
    for engine, fake in engines:
        engine.close()
        assert not engine._thread.is_alive()
        assert fake.closed == 1
        assert (engine.stats().queued, engine.stats().running, engine.stats().cache_bytes) == (0, 0, 0)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 8 tokens whatever the speed, so that short prompts have several."""
    monkeypatch.setattr(module, "SMALLEST_PIECE", 8)
    monkeypatch.setattr(module, "LARGEST_PIECE", 8)


# Replies


prompts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=40)
shared = st.sampled_from([[], [*range(20)], [*range(45)]])
asked = st.tuples(shared, prompts, st.integers(1, 20)).map(lambda one: ([*one[0], *one[1]], one[2]))


@quick
@given(
    st.lists(asked, min_size=1, max_size=6),
    st.integers(1, 4),
    st.sampled_from([PLENTY, 2 * CONTEXT * BYTES, 260 * BYTES]),
    st.booleans(),
)
def test_replies_do_not_depend_on_each_other(
    small_pieces: None, requests: list[tuple[list[int], int]], count: int, limit: int, in_turns: bool
) -> None:
    batch = FakeBatch(count, in_turns=in_turns)
    engine = Scheduler(batch, cache_limit=limit)
    replies = [submit(engine, *one) for one in requests]
    for (prompt, max_tokens), reply in zip(requests, replies, strict=True):
        assert reply.end().reason == "length"
        assert reply.ids == greedy(prompt, min(max_tokens, engine.context_length - len(prompt)))
        assert reply.threads == {engine._thread.name}
    stats = engine.stats()
    assert (stats.queued, stats.running) == (0, 0)
    assert stats.prompt_tokens == sum(len(prompt) for prompt, _ in requests)
    assert stats.completion_tokens == sum(len(reply.ids) for reply in replies)
    assert stats.reused_tokens == sum(reply.end().reused_tokens for reply in replies)
    assert stats.steps <= len(batch.done)
    engine.close()
    assert max(step.memory for step in batch.done) <= limit


def test_a_seed_gives_one_reply_alone_and_in_a_crowd(opened: Callable) -> None:
    engine, _ = opened(count=4)
    drawn = [Sampling(temperature=0.8, top_k=20, top_p=0.9, seed=seed) for seed in (1, 2, 3)]
    alone = [submit(engine, [5, 6, 7], 20, sampling=one) for one in drawn]
    assert len({tuple(reply.ids) for reply in alone if reply.end()}) == 3
    crowd = [submit(engine, [5, 6, 7], 20, sampling=one) for one in (*drawn, *drawn) for _ in range(2)]
    for place, reply in enumerate(crowd):
        reply.end()
        assert reply.ids == alone[place // 2 % 3].ids


def test_an_end_token_ends_the_reply_and_is_not_delivered(opened: Callable) -> None:
    engine, _ = opened()
    words = greedy([1, 2, 3], 10)
    reply = submit(engine, [1, 2, 3], 10, end_ids=frozenset({words[4], VOCABULARY + 5}))
    assert reply.end().reason == "stop"
    assert reply.ids == words[: words.index(words[4])]


def test_an_end_token_at_once_is_an_empty_reply(opened: Callable) -> None:
    engine, _ = opened()
    reply = submit(engine, [1, 2, 3], 10, end_ids=frozenset(greedy([1, 2, 3], 1)))
    assert (reply.end().reason, reply.ids) == ("stop", [])


@pytest.mark.parametrize(("length", "max_tokens", "count"), [(3, 1, 1), (250, 100, 6), (255, 100, 1), (255, 1, 1)])
def test_replies_end_at_max_tokens_or_at_the_context(opened: Callable, length: int, max_tokens: int, count: int) -> None:
    engine, _ = opened()
    prompt = [one % VOCABULARY for one in range(length)]
    reply = submit(engine, prompt, max_tokens)
    assert reply.end().reason == "length"
    assert reply.ids == greedy(prompt, count)


def test_a_shorter_context_is_kept(opened: Callable) -> None:
    engine, _ = opened(context=20)
    assert engine.context_length == 20
    reply = submit(engine, [*range(15)], 100)
    assert reply.end().completion_tokens == 5
    with pytest.raises(UsageError):
        submit(engine, [1] * 20)


@pytest.mark.parametrize("count", [0, 1, 5, VOCABULARY, VOCABULARY + 9])
def test_logprobs_are_those_of_the_models_logits(opened: Callable, count: int) -> None:
    engine, _ = opened()
    ids = [3, 1, 4]
    reply = submit(engine, ids, 6, logprobs=count, sampling=Sampling(temperature=5.0, seed=1, repetition_penalty=1.5))
    reply.end()
    for token in reply.tokens:
        logits = logits_after(ids).astype(np.float64)
        expected = logits - np.log(np.exp(logits).sum())
        assert token.logprob == pytest.approx(expected[token.id])
        best = np.argsort(-expected)[:count]
        assert [id_ for id_, _ in token.top] == best.tolist()
        assert [value for _, value in token.top] == pytest.approx(expected[best].tolist())
        ids.append(token.id)


def test_without_logprobs_there_are_none(opened: Callable) -> None:
    engine, _ = opened()
    reply = submit(engine, [3], 2)
    reply.end()
    assert {(token.logprob, token.top) for token in reply.tokens} == {(None, ())}


def test_penalties_and_bias_count_the_prompt_and_the_reply_as_each_is_defined(opened: Callable) -> None:
    engine, _ = opened()
    prompt = [*range(30)]
    sampling = Sampling(greedy=True, repetition_penalty=1.4, presence_penalty=1.5, frequency_penalty=0.7, logit_bias={50: 6.0})
    reply = submit(engine, prompt, 20, sampling=sampling)
    reply.end()
    ids, generated = list(prompt), {}
    for _ in range(20):
        id_ = Sampler(sampling).pick(logits_after(ids), set(ids), generated=generated)
        ids.append(id_)
        generated[id_] = generated.get(id_, 0) + 1
    assert reply.ids == ids[30:]
    assert reply.ids != greedy(prompt, 20)


# Constraints


class Rule:
    """Tokens whose number is ``place`` modulo 7, in turn; ``fault`` is raised at the third."""

    def __init__(self, fault: tuple[str, BaseException] | None = None) -> None:
        self.accepted: list[int] = []
        self.fault = fault

    def allowed(self) -> np.ndarray:
        self._fail("allowed")
        return np.arange(VOCABULARY) % 7 == len(self.accepted) % 7

    def accept(self, id_: int) -> None:
        self._fail("accept")
        self.accepted.append(id_)

    def _fail(self, where: str) -> None:
        if self.fault and self.fault[0] == where and len(self.accepted) == 2:
            raise self.fault[1]


def test_a_constraint_is_obeyed_and_told(opened: Callable) -> None:
    engine, _ = opened()
    rule = Rule()
    reply = submit(engine, [1], 14, constraint=rule)
    assert reply.end().reason == "length"
    assert [id_ % 7 for id_ in reply.ids] == [*range(7), *range(7)]
    assert rule.accepted == reply.ids


def test_a_complete_constraint_allows_the_end_token_alone(opened: Callable) -> None:
    class Complete(Rule):
        def allowed(self) -> np.ndarray:
            return super().allowed() if len(self.accepted) < 3 else np.arange(VOCABULARY) == 96

    engine, _ = opened()
    rule = Complete()
    reply = submit(engine, [1], 14, constraint=rule, end_ids=frozenset({96}))
    assert reply.end().reason == "stop"
    assert rule.accepted == reply.ids and len(reply.ids) == 3


@pytest.mark.parametrize("where", ["allowed", "accept"])
@pytest.mark.parametrize("error", [RuntimeError("no way"), UsageError("no way"), ValueError("no way")])
def test_a_constraints_failure_ends_its_own_reply_only(opened: Callable, where: str, error: Exception) -> None:
    engine, batch = opened()
    with batch.held():
        reply = submit(engine, [1], 10, constraint=Rule((where, error)))
        other = submit(engine, [2], 10)
    ended = reply.end()
    assert ended.reason == "cancelled" and "no way" in str(ended.error)
    assert isinstance(ended.error, type(error) if isinstance(error, YoutuOnnxError) else YoutuOnnxError)
    assert ended.completion_tokens == 2
    assert other.end().error is None and other.ids == greedy([2], 10)


def test_a_mask_that_allows_nothing_ends_its_own_reply_only(opened: Callable) -> None:
    class Nothing(Rule):
        def allowed(self) -> np.ndarray:
            return np.zeros(VOCABULARY, bool)

    engine, _ = opened()
    assert isinstance(submit(engine, [1], constraint=Nothing()).end().error, UsageError)
    assert submit(engine, [2], 3).end().error is None


# What is refused


@pytest.mark.parametrize("bad", [request([]), request([VOCABULARY]), request([-1]), request([1] * CONTEXT), request([1], 0)])
def test_impossible_requests_are_refused(opened: Callable, bad: Request) -> None:
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
def test_the_queue_takes_exactly_so_many(opened: Callable, max_queue: int) -> None:
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
def test_whoever_hears_of_an_end_finds_the_place_free(opened: Callable, max_tokens: int) -> None:
    engine, _ = opened(count=1, max_queue=0)
    for one in range(15):
        reply = submit(engine, [one], max_tokens)  # Busy if the last one was still there
        assert reply.end().reason == "length"
        assert engine.stats().running == 0
        assert engine.stats().completion_tokens == (one + 1) * max_tokens


def test_cancelled_requests_make_room_in_the_queue_at_once(opened: Callable) -> None:
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


# Order


def test_a_prompts_pieces_run_beside_replies_that_go_on(opened: Callable, small_pieces: None) -> None:
    engine, batch = opened()
    long = [one % VOCABULARY for one in range(60)]
    with batch.held():
        first = submit(engine, [1], 30)
        batch.reached()
        batch.let()  # it has begun
        second = submit(engine, long, 5)
    first.end(), second.end()
    pieces = [step for step in batch.done if step.piece]
    assert [len(step.piece) for step in pieces] == [8] * 6 + [12]  # a small rest goes along
    assert all(step.slots for step in pieces), "the reply before it got a token in each step"
    assert len(batch.done) == 30, "a step gives every reply its token"


def test_alone_a_prompt_runs_in_large_pieces(opened: Callable) -> None:
    engine, batch = opened()
    submit(engine, [one % VOCABULARY for one in range(255)], 1).end()
    assert [len(step.piece) for step in batch.done] == [255]


def test_shorter_prompts_overtake(opened: Callable, small_pieces: None) -> None:
    engine, batch = opened()
    with batch.held():
        long = submit(engine, [1] * 100, 1)
        batch.reached()
        short = submit(engine, [2] * 10, 1)
    long.end(), short.end()
    lengths = [len(step.prompt) for step in batch.done]
    assert [step.prompt[0] for step in batch.done].index(2) == 1, "as soon as it came"
    assert lengths.index(10) < lengths.index(100)


def test_the_oldest_prompt_is_not_starved(opened: Callable, small_pieces: None) -> None:
    """New short prompts for ever: each one's end brings the next."""
    engine, batch = opened(count=2)
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
    assert own == 12 and len(others) < 12 * module.OLDEST_EVERY  # 100 tokens in pieces of 8, the last with a rest of 4
    assert between.index(1) < module.OLDEST_EVERY


# Cancelling


def test_cancelled_in_the_queue(opened: Callable) -> None:
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


def test_cancelled_while_its_prompt_is_read(opened: Callable, small_pieces: None) -> None:
    engine, batch = opened(count=1)
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


def test_cancelled_while_it_is_written(opened: Callable) -> None:
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


def test_cancelled_by_whom_it_is_delivered_to(opened: Callable) -> None:
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


def test_cancelled_after_its_end(opened: Callable) -> None:
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
def test_a_listener_that_fails_is_left_and_others_go_on(opened: Callable, kind: type) -> None:
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


# Prefixes


def computed(batch: FakeBatch) -> int:
    """Tokens that went through the model."""
    return sum(len(step.slots) + len(step.piece) for step in batch.done)


def test_the_next_turn_of_a_conversation_computes_what_is_new(opened: Callable) -> None:
    engine, batch = opened()
    prompt = [*range(40)]
    first = submit(engine, prompt, 10)
    assert first.end().reused_tokens == 0
    following = [*prompt, *first.ids, 7, 8, 9]
    second = submit(engine, following, 10)
    assert second.end().reused_tokens == len(prompt) + 9, "all but the last token of the reply was run"
    assert second.ids == greedy(following, 10)
    stats = engine.stats()
    assert (stats.prompt_tokens, stats.reused_tokens) == (40 + 53, 49)
    assert computed(batch) == 40 + 9 + 4 + 9


def test_a_shared_beginning_is_computed_once(opened: Callable) -> None:
    engine, _ = opened()
    system = [*range(50)]
    assert submit(engine, [*system, 60, 61], 40).end().reused_tokens == 0
    for one in range(3):
        reply = submit(engine, [*system, 70 + one], 40)
        assert reply.end().reused_tokens == 50
        assert reply.ids == greedy([*system, 70 + one], 40)


def test_a_beginning_is_shared_with_a_reply_that_is_still_written(opened: Callable) -> None:
    engine, batch = opened()
    system = [*range(50)]
    with batch.held():
        first = submit(engine, [*system, 60], 100)
        batch.reached()
        batch.let(2)
        second = submit(engine, [*system, 61], 5)
        batch.let(6)
        assert second.end().reused_tokens == 50 and second.ids == greedy([*system, 61], 5)
        assert engine.stats().running == 1
    first.end()
    assert first.ids == greedy([*system, 60], 100)


def test_equal_prompts_at_once_are_computed_once(opened: Callable) -> None:
    engine, batch = opened(count=4)
    prompt = [*range(80)]
    with batch.held():
        replies = [submit(engine, prompt, 6) for _ in range(4)]
    assert sorted(reply.end().reused_tokens for reply in replies) == [0, 79, 79, 79]
    assert all(reply.ids == greedy(prompt, 6) for reply in replies)
    assert sum(len(step.piece) for step in batch.done) == 80


# Memory


def test_kept_rows_go_first(opened: Callable) -> None:
    limit = 300 * BYTES
    engine, batch = opened(count=2, cache_limit=limit)
    for one in range(6):
        assert submit(engine, [one, *range(80)], 5).end().error is None
        assert engine.stats().cache_bytes <= limit
    assert max(step.memory for step in batch.done) <= limit
    again = submit(engine, [5, *range(80), 9], 2)
    assert again.end().reused_tokens == 81, "the newest is still there"
    assert submit(engine, [0, *range(80), 9], 2).end().reused_tokens == 0, "the oldest is not"


def test_the_youngest_reply_is_postponed_and_its_text_is_the_same(opened: Callable) -> None:
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


def test_a_long_prompt_waits_for_memory_and_then_runs(opened: Callable, small_pieces: None) -> None:
    engine, batch = opened(count=3, cache_limit=400 * BYTES)
    with batch.held():
        first = submit(engine, [1] * 100, 90)
        batch.reached()
        batch.let(14)
        second, third = submit(engine, [2] * 150, 20), submit(engine, [3] * 10, 5)
    for reply, prompt in ((first, [1] * 100), (second, [2] * 150), (third, [3] * 10)):
        assert reply.end().reason == "length"
        assert reply.ids == greedy(prompt, len(reply.ids))
    assert max(step.memory for step in batch.done) <= 400 * BYTES


# Failures


@pytest.mark.parametrize("in_turns", [False, True])
@pytest.mark.parametrize("guilty", [[2, 2], [2] * 20])
def test_a_failing_step_fails_the_guilty_sequence_only(opened: Callable, in_turns: bool, guilty: list[int]) -> None:
    def fails(sequences: list[list[int]]) -> Exception | None:
        return ResourceError("too much") if any(ids[0] == 2 and len(ids) > len(guilty) + 2 for ids in sequences) else None

    engine, batch = opened(fails=fails, in_turns=in_turns)
    with batch.held():
        replies = {one: submit(engine, [one] * len(guilty), 12) for one in (1, 2, 3, 4)}
    ended = replies.pop(2).end()
    assert isinstance(ended.error, ResourceError) and ended.reason == "cancelled"
    assert ended.completion_tokens == 3
    for one, reply in replies.items():
        assert reply.end().error is None and reply.ids == greedy([one] * len(guilty), 12)


def test_a_prompt_that_fails_does_not_hurt_replies(opened: Callable, small_pieces: None) -> None:
    engine, batch = opened(
        fails=lambda sequences: BundleError("bad") if any(ids[0] == 2 and len(ids) > 9 for ids in sequences) else None
    )
    with batch.held():
        good, bad = submit(engine, [1] * 4, 12), submit(engine, [2] * 30, 12)
    assert isinstance(bad.end().error, BundleError) and not bad.tokens
    assert good.end().error is None and good.ids == greedy([1] * 4, 12)


def test_an_error_that_somebody_keeps_keeps_no_cache(opened: Callable) -> None:
    def fails(sequences: list[list[int]]) -> Exception | None:
        if not any(len(ids) > 35 for ids in sequences):
            return None
        error = ResourceError("too much")
        error.__cause__ = MemoryError("of the runtime")
        return error

    engine, batch = opened(fails=fails)
    ended = submit(engine, [1] * 30, 12).end()
    assert isinstance(ended.error.__cause__, MemoryError)
    assert submit(engine, [2], 3).end().error is None, "the engine is done with the first one"
    assert batch.done[-1].memory == FIRST * BYTES
    assert ended.error.__traceback__ is None


def test_logits_that_are_no_numbers_end_their_own_reply_only(opened: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fake_batch.logits_after", lambda ids: logits_after(ids) * (np.nan if ids[0] == 2 else 1))
    engine, _ = opened()
    good, bad = submit(engine, [1], 8), submit(engine, [2], 8)
    assert isinstance(bad.end().error, BundleError)
    assert good.end().error is None and good.ids == greedy([1], 8)


def test_a_mistake_of_ours_ends_what_runs_and_the_engine_goes_on(opened: Callable, caplog: pytest.LogCaptureFixture) -> None:
    faults = [ZeroDivisionError("a mistake")]
    engine, batch = opened(count=2, fails=lambda sequences: faults.pop() if faults and len(sequences) == 2 else None)
    with batch.held():
        replies = [submit(engine, [one], 5) for one in range(2)]
        batch.reached()
        waiting = submit(engine, [3], 5)
    for reply in replies:
        ended = reply.end()
        assert type(ended.error) is YoutuOnnxError and "ZeroDivisionError: a mistake" in str(ended.error)
    assert waiting.end().error is None and waiting.ids == greedy([3], 5)
    assert "a step failed" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_whose_thread_ended_takes_no_requests(opened: Callable) -> None:
    class End(BaseException):
        pass

    engine, _ = opened()
    reply = submit(engine, [1], 10, constraint=Rule(("accept", End())))
    assert reply.end().reason == "cancelled"
    engine._thread.join(PATIENCE)
    assert not engine.stats().taking  # so that /health says 503
    with pytest.raises(Draining):
        submit(engine, [2])


# The end


def test_closing_lets_replies_end(opened: Callable) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        replies = [submit(engine, [one], 20) for one in range(3)]
        batch.reached()
        closing = threading.Thread(target=engine.close, args=(PATIENCE,))
        closing.start()
        while engine._closing is None:
            threading.Event().wait(0.001)
        with pytest.raises(Draining):
            submit(engine, [9])
    for one, reply in enumerate(replies):
        assert reply.end().reason == "length" and reply.ids == greedy([one], 20)
    closing.join(PATIENCE)
    assert not closing.is_alive() and batch.closed == 1


def test_closing_cancels_what_does_not_end_in_time(opened: Callable) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        replies = [submit(engine, [one], 200) for one in range(3)]
        batch.reached()
        closing = threading.Thread(target=engine.close)
        closing.start()
        while engine._closing is None:
            threading.Event().wait(0.001)
    assert [reply.end().reason for reply in replies] == ["cancelled"] * 3
    closing.join(PATIENCE)
    assert len(batch.done) == 1 and batch.closed == 1


def test_a_second_close_cuts_the_first_one_short(opened: Callable) -> None:
    engine, batch = opened(count=1)
    with batch.held():
        reply = submit(engine, [1], 200)
        batch.reached()
        patient, hurried = (threading.Thread(target=engine.close, args=(seconds,)) for seconds in (10 * PATIENCE, 0))
        patient.start()
        while engine._closing is None:
            threading.Event().wait(0.001)
        before = engine._closing
        hurried.start()
        while engine._closing == before:
            threading.Event().wait(0.001)
    assert reply.end().reason == "cancelled"
    patient.join(PATIENCE), hurried.join(PATIENCE)
    assert not patient.is_alive() and not hurried.is_alive()
    engine.close()


def test_closing_an_idle_engine(opened: Callable) -> None:
    engine, batch = opened()
    engine.close(PATIENCE)
    assert batch.closed == 1 and not batch.done
    with pytest.raises(Draining):
        submit(engine, [1])


@pytest.mark.parametrize("limit", [PLENTY, 400 * BYTES])
def test_many_threads_at_once(opened: Callable, limit: int) -> None:
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


# With a model


@pytest.mark.parametrize("kind", ["slots", "turns"])
def test_youtu_nano_replies_as_it_does_alone(nano_bundle: Callable[..., Path], kind: str) -> None:
    """Turns of a conversation and prompts that begin alike, together in one engine, against one sequence at a time."""
    pytest.importorskip("torch")  # of the export
    import youtu_onnx

    said = ["What is 12 + 30?", "What is 12 + 31?", "What is 7 * 8, and why?", "Hello", "Count from 3 to 9."]
    with youtu_onnx.load(nano_bundle("fp32"), threads=1) as model:
        alone = [model.generate(text, greedy=True, max_tokens=24) for text in said]
        prompts = [model.template.prompt([{"role": "user", "content": text}]).token_ids for text in said]
        end_ids = frozenset(model.bundle.manifest.model.eos_token_ids)
    if kind == "slots":
        engine = open_engine(nano_bundle("fp32"), threads=1, max_queue=8, cache_memory=2**28)
        assert engine.stats().places == 8
    else:
        from youtu_onnx.core.bundle import Bundle
        from youtu_onnx.runtimes.ort.model import OrtModel
        from youtu_onnx.runtimes.ort.turns import TurnsModel

        engine = Scheduler(TurnsModel(OrtModel(Bundle.open(nano_bundle("fp32")), threads=1)), cache_limit=2**28)
    for _ in range(2):  # the second time what they begin with is kept
        replies = [submit(engine, prompt, 24, end_ids=end_ids) for prompt in prompts]
        for reply, result in zip(replies, alone, strict=True):
            assert reply.end().reason == result.finish_reason
            assert reply.ids == result.token_ids
    assert engine.stats().reused_tokens >= sum(len(prompt) - 1 for prompt in prompts if len(prompt) > 16)
    engine.close()
