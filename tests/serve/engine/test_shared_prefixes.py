"""What prompts have in common is computed once."""

from __future__ import annotations

import pytest

from tests.serve.engine.fake_batch import BYTES, greedy
from tests.serve.engine.replies import GREEDY, SMALL, Open, computed, submit
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.serve.engine.prefill import ChunkSizes


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
def test_where_prefixes_cannot_be_shared_replies_are_right(opened: Open, in_turns: bool) -> None:
    """Conversations, equal prompts at once, failures beside them, too little memory."""

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
            assert (reply.end().reason, reply.ids) == ("length", greedy(prompt, 60))
        prompt += [*replies[0].ids, 7]
    assert max(step.memory for step in batch.done) <= limit


def test_where_prefixes_cannot_be_shared_a_conversation_goes_on_where_it_ended(opened: Open) -> None:
    engine, batch = opened(prefix_shareable=False)
    prompt = [*range(40)]
    first = submit(engine, prompt, 10)
    assert first.end().reused_tokens == 0
    again = submit(engine, prompt, 10)
    assert again.end().reused_tokens == 0, "its prompt is there only with the reply behind it"
    following = [*prompt, *first.ids, 7, 8, 9]
    second = submit(engine, following, 10)
    assert second.end().reused_tokens == 49 and second.ids == greedy(following, 10)
    assert submit(engine, [*following[:-1], 6], 10).end().reused_tokens == 0, "and it was taken over"
    assert computed(batch) == 49 + 49 + 4 + 9 + 53 + 9


@pytest.mark.parametrize(("common", "reused"), [(63, 0), (80, 64)])
def test_where_prefixes_cannot_be_shared_a_prompt_takes_all_that_is_there_of_a_longer_one(
    opened: Open, common: int, reused: int
) -> None:
    engine, batch = opened(prefix_shareable=False, count=3, chunks=ChunkSizes(smallest=8, largest=16, first=16))
    long = [*range(90), *range(90), *range(20)]
    with batch.held():
        first = submit(engine, long, 6)
        batch.reached()
        batch.let(3)
        other = submit(engine, [*long[:common], 95], 6, sampling=GREEDY)  # when the other has 64
    assert (other.end().reused_tokens, first.end().reused_tokens) == (reused, 0)
    assert other.ids == greedy([*long[:common], 95], 6) and first.ids == greedy(long, 6)
    ends = {len(step.prompt) for step in batch.done if step.chunk}
    assert ends <= {*range(0, 200, 16), common + 1, 200}, "all are cut at the same places"
