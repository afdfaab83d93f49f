"""Replies are those of one sequence alone, whatever else the engine does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.engine.fake_batch import BYTES, CONTEXT, VOCABULARY, FakeBatch, greedy, logits_after
from tests.serve.engine.replies import PLENTY, SMALL, Open, submit
from youtu_onnx.chat.sampler import Sampler
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.engine.scheduler import THREAD, Scheduler

quick = settings(max_examples=15, deadline=None)
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
    requests: list[tuple[list[int], int]], count: int, limit: int, in_turns: bool
) -> None:
    batch = FakeBatch(count, in_turns=in_turns)
    engine = Scheduler(batch, cache_limit=limit, chunks=SMALL)
    replies = [submit(engine, *one) for one in requests]
    for (prompt, max_tokens), reply in zip(requests, replies, strict=True):
        assert reply.end().reason == "length"
        assert reply.ids == greedy(prompt, min(max_tokens, engine.context_length - len(prompt)))
        assert reply.threads == {THREAD}
    stats = engine.stats()
    assert (stats.queued, stats.running) == (0, 0)
    assert stats.prompt_tokens == sum(len(prompt) for prompt, _ in requests)
    assert stats.completion_tokens == sum(len(reply.ids) for reply in replies)
    assert stats.reused_tokens == sum(reply.end().reused_tokens for reply in replies)
    assert stats.steps <= len(batch.done)
    engine.close()
    assert max(step.memory for step in batch.done) <= limit


def test_a_seed_gives_one_reply_alone_and_in_a_crowd(opened: Open) -> None:
    engine, _ = opened(count=4)
    drawn = [Sampling(temperature=0.8, top_k=20, top_p=0.9, seed=seed) for seed in (1, 2, 3)]
    alone = [submit(engine, [5, 6, 7], 20, sampling=one) for one in drawn]
    assert len({tuple(reply.ids) for reply in alone if reply.end()}) == 3
    crowd = [submit(engine, [5, 6, 7], 20, sampling=one) for one in (*drawn, *drawn) for _ in range(2)]
    for place, reply in enumerate(crowd):
        reply.end()
        assert reply.ids == alone[place // 2 % 3].ids


def test_an_end_token_ends_the_reply_and_is_not_delivered(opened: Open) -> None:
    engine, _ = opened()
    words = greedy([1, 2, 3], 10)
    reply = submit(engine, [1, 2, 3], 10, end_ids=frozenset({words[4], VOCABULARY + 5}))
    assert reply.end().reason == "stop"
    assert reply.ids == words[: words.index(words[4])]


def test_an_end_token_at_once_is_an_empty_reply(opened: Open) -> None:
    engine, _ = opened()
    reply = submit(engine, [1, 2, 3], 10, end_ids=frozenset(greedy([1, 2, 3], 1)))
    assert (reply.end().reason, reply.ids) == ("stop", [])


@pytest.mark.parametrize(("length", "max_tokens", "count"), [(3, 1, 1), (250, 100, 6), (255, 100, 1), (255, 1, 1)])
def test_replies_end_at_max_tokens_or_at_the_context(opened: Open, length: int, max_tokens: int, count: int) -> None:
    engine, _ = opened()
    prompt = [one % VOCABULARY for one in range(length)]
    reply = submit(engine, prompt, max_tokens)
    assert reply.end().reason == "length"
    assert reply.ids == greedy(prompt, count)


def test_a_shorter_context_is_kept(opened: Open) -> None:
    engine, _ = opened(context=20)
    assert engine.context_length == 20
    reply = submit(engine, [*range(15)], 100)
    assert reply.end().completion_tokens == 5
    with pytest.raises(UsageError):
        submit(engine, [1] * 20)


@pytest.mark.parametrize("count", [0, 1, 5, VOCABULARY, VOCABULARY + 9])
def test_logprobs_are_those_of_the_models_logits(opened: Open, count: int) -> None:
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


def test_without_logprobs_there_are_none(opened: Open) -> None:
    engine, _ = opened()
    reply = submit(engine, [3], 2)
    reply.end()
    assert {(token.logprob, token.top) for token in reply.tokens} == {(None, ())}


def test_penalties_and_bias_count_the_prompt_and_the_reply_as_each_is_defined(opened: Open) -> None:
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
