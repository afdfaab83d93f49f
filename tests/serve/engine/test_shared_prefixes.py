"""What prompts have in common is computed once."""

from __future__ import annotations

import pytest

from tests.serve.engine.fake_batch import BYTES, greedy
from tests.serve.engine.replies import SMALL, Open, computed, submit
from youtu_onnx.core.errors import ResourceError


def test_the_next_turn_of_a_conversation_computes_what_is_new(opened: Open) -> None:
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


def test_a_shared_beginning_is_computed_once(opened: Open) -> None:
    engine, _ = opened()
    system = [*range(50)]
    assert submit(engine, [*system, 60, 61], 40).end().reused_tokens == 0
    for one in range(3):
        reply = submit(engine, [*system, 70 + one], 40)
        assert reply.end().reused_tokens == 50
        assert reply.ids == greedy([*system, 70 + one], 40)


def test_a_beginning_is_shared_with_a_reply_that_is_still_written(opened: Open) -> None:
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


def test_equal_prompts_at_once_are_computed_once(opened: Open) -> None:
    engine, batch = opened(count=4)
    prompt = [*range(80)]
    with batch.held():
        replies = [submit(engine, prompt, 6) for _ in range(4)]
    assert sorted(reply.end().reused_tokens for reply in replies) == [0, 79, 79, 79]
    assert all(reply.ids == greedy(prompt, 6) for reply in replies)
    assert sum(len(step.chunk) for step in batch.done) == 80


@pytest.mark.parametrize("in_turns", [False, True])
def test_where_prefixes_cannot_be_shared_nothing_is_reused(opened: Open, in_turns: bool) -> None:
    """Conversations, equal prompts at once, failures beside them, too little memory: all is computed, and replies are right."""

    def fails(sequences: list[list[int]]) -> Exception | None:
        return ResourceError("too much") if any(ids[0] == 90 and len(ids) > 30 for ids in sequences) else None

    limit = 400 * BYTES
    engine, batch = opened(count=3, prefix_shareable=False, in_turns=in_turns, fails=fails, cache_limit=limit, chunks=SMALL)
    prompt = [*range(40)]
    for _ in range(2):
        with batch.held():
            bad = submit(engine, [90] * 20, 60)
            replies = [submit(engine, prompt, 60) for _ in range(4)]
        assert isinstance(bad.end().error, ResourceError)
        for reply in replies:
            ended = reply.end()
            assert (ended.reason, ended.reused_tokens, reply.ids) == ("length", 0, greedy(prompt, 60))
        prompt += [*replies[0].ids, 7]
    assert engine.stats().reused_tokens == 0
    assert max(step.memory for step in batch.done) <= limit
    assert engine.stats().cache_bytes == 0, "nothing is kept"
