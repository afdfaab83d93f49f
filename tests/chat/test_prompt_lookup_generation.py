"""A reply is the same with prompt lookup and without: of a decoder whose logits depend on all that it was given, and on
nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chat.test_prompt_lookup_index import naive
from youtu_onnx.chat.generation import Generation
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.chat.result import Result
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.runtimes.decoder import check_ids, check_rewind
from youtu_onnx.text import Tokenizer

TOKENIZER = Tokenizer.open(Path(__file__).parents[2] / "youtu_onnx" / "models" / "youtu_nano")
VOCAB = 24
EOS = 23
REPEATING = [5, 6, 7, 8, 9, 10, 11, 12] * 4


class Toy:
    """A Decoder that likes to go on as the text did, but not always; ``follow`` says how much."""

    vocab_size = VOCAB
    rows = None

    def __init__(self, follow: float = 4.0, context_length: int = 400, eos_from: int | None = None) -> None:
        self.follow, self.context_length, self.eos_from = follow, context_length, eos_from
        self.ids: list[int] = []
        self.steps: list[list[int]] = []
        self.rewindable = True

    @property
    def length(self) -> int:
        return len(self.ids)

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        return self.decode(ids)[-1]

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        checked = check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=VOCAB)
        self.steps.append(checked)
        return np.stack([self._one(one) for one in checked])

    def _one(self, id_: int) -> np.ndarray:
        self.ids.append(id_)
        noise = np.random.default_rng([*self.ids[-3:], self.length]).normal(0, 1, VOCAB).astype(np.float32)
        noise[EOS] = 20 if self.eos_from is not None and self.length >= self.eos_from else -20
        for guess in naive(self.ids, 1, (2,)):
            noise[guess] += self.follow
        return noise

    def rewind(self, count: int) -> None:
        check_rewind(count, self.length)
        del self.ids[self.length - count :]

    def reset(self) -> None:
        self.ids = []

    def close(self) -> None: ...


def begin(
    cache: TokenCache, prompt: Sequence[int] = REPEATING, *, lookup: PromptLookup | None = None, **choices: Any
) -> Generation:
    chosen = {"sampling": Sampling(greedy=True), "max_tokens": 60, "eos_ids": (EOS,)} | choices
    return Generation(cache, TOKENIZER, prompt, prompt_lookup=lookup, **chosen)


def both(make: Callable[[], Toy], prompt: Sequence[int] = REPEATING, draft_tokens: int = 8, **choices: Any) -> tuple[Result, Toy]:
    """The reply with prompt lookup, once it is known to be the one without, and its decoder."""
    results, caches = [], []
    for lookup in (None, PromptLookup(draft_tokens)):
        caches.append(TokenCache(make()))
        results.append(begin(caches[-1], prompt, lookup=lookup, **choices).result)
    plain, drafted = results
    assert (drafted.token_ids, drafted.text, drafted.finish_reason) == (plain.token_ids, plain.text, plain.finish_reason)
    assert drafted.usage == plain.usage
    left, right = caches
    assert left.ids == right.ids == left.decoder.ids == right.decoder.ids
    assert plain.speculation is None and drafted.speculation is not None
    counts = drafted.speculation
    assert counts.steps == len(right.decoder.steps) - 1
    assert counts.steps + counts.accepted == len(left.decoder.steps) - 1
    assert counts.drafted == sum(len(step) - 1 for step in right.decoder.steps[1:])
    return drafted, right.decoder


@pytest.mark.parametrize("follow", [0.0, 2.0, 3.0, 30.0])
@pytest.mark.parametrize("draft_tokens", [1, 2, 8, 64])
def test_greedy_replies_are_the_same(follow: float, draft_tokens: int) -> None:
    reply, decoder = both(lambda: Toy(follow), draft_tokens=draft_tokens)
    assert max(len(step) for step in decoder.steps[1:]) <= 1 + draft_tokens
    if follow == 30:
        assert reply.speculation.tokens_per_step > min(draft_tokens, 4) * 0.8


@settings(max_examples=60, deadline=None)
@given(
    prompt=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    follow=st.sampled_from([1.0, 3.0, 6.0]),
    seed=st.integers(0, 99),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([0.7, 1.0]),
    penalty=st.sampled_from([1.0, 1.3]),
    max_tokens=st.integers(1, 40),
    eos_from=st.none() | st.integers(1, 60),
    draft_tokens=st.integers(1, 12),
)
def test_sampled_replies_are_the_same_token_by_token(
    prompt: list[int],
    follow: float,
    seed: int,
    temperature: float,
    top_k: int,
    top_p: float,
    penalty: float,
    max_tokens: int,
    eos_from: int | None,
    draft_tokens: int,
) -> None:
    sampling = Sampling(temperature, top_k, top_p, seed, repetition_penalty=penalty)
    both(lambda: Toy(follow, eos_from=eos_from), prompt, draft_tokens, sampling=sampling, max_tokens=max_tokens)


def test_sampled_drafts_are_accepted_and_refused() -> None:
    reply, _ = both(lambda: Toy(5.0), sampling=Sampling(seed=1), max_tokens=200)
    assert 0 < reply.speculation.accepted < reply.speculation.drafted


def test_a_token_that_no_reply_held_before_is_penalized_within_a_draft_too() -> None:
    """Penalties depend on what was accepted a moment ago; with a strong one a draft can't be right for long."""
    for penalty in (1.05, 1.5, 4.0):
        both(lambda: Toy(6.0), [5, 6, 7, 5, 6], sampling=Sampling(greedy=True, repetition_penalty=penalty))


@pytest.mark.parametrize("eos_from", range(33, 50))
def test_an_end_token_within_a_draft_ends_the_reply(eos_from: int) -> None:
    reply, decoder = both(lambda: Toy(9.0, eos_from=eos_from))
    assert reply.finish_reason == "stop"
    assert EOS not in decoder.ids and decoder.length == len(REPEATING) + len(reply.token_ids)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 12, 13])
def test_no_draft_goes_past_max_tokens(limit: int) -> None:
    _, decoder = both(lambda: Toy(30.0), max_tokens=limit)
    assert sum(map(len, decoder.steps)) == len(REPEATING) + limit - 1  # all guesses are right, and none too many


@pytest.mark.parametrize("context", range(34, 50, 3))
def test_no_draft_goes_past_the_context(context: int) -> None:
    reply, decoder = both(lambda: Toy(30.0, context_length=context), max_tokens=None)
    assert (reply.finish_reason, reply.usage.total_tokens, decoder.length) == ("length", context, context - 1)


def test_a_text_that_never_repeats_is_drafted_for_in_vain_for_a_moment_only() -> None:
    class Novel(Toy):
        def _one(self, id_: int) -> np.ndarray:
            self.ids.append(id_)
            logits = np.zeros(VOCAB, np.float32)
            logits[np.random.default_rng(self.length).integers(VOCAB - 1)] = 9
            return logits

    reply, _ = both(Novel, max_tokens=300)
    assert reply.speculation.drafted < 30


def test_pieces_come_in_order_one_token_at_a_time() -> None:
    prompt = TOKENIZER.encode("one two three four five six. " * 3)

    class Echo(Toy):
        vocab_size = 1280

        def decode(self, ids: Sequence[int]) -> np.ndarray:
            rows = []
            for one in ids:
                self.ids.append(one)
                rows.append(np.eye(1280, dtype=np.float32)[prompt[self.length % len(prompt)]])
            self.steps.append([*ids])
            return np.stack(rows)

    cache = TokenCache(Echo())
    generation = begin(cache, prompt, lookup=PromptLookup(), max_tokens=40)
    pieces = [next(generation) for _ in range(5)]
    ran = len(cache.decoder.steps)
    pieces += [*generation]
    assert "".join(pieces) == generation.result.text == TOKENIZER.decode(prompt * 3)[: len(generation.result.text)]
    assert len(pieces) > 10 > ran


@pytest.mark.parametrize("taken", range(1, 14))
def test_cancelling_within_a_draft_leaves_what_was_said(taken: int) -> None:
    said = []
    for lookup in (None, PromptLookup(8)):
        cache = TokenCache(Toy(30.0))
        generation = begin(cache, lookup=lookup)
        generation._emit = lambda parts: iter(["token"])  # one piece per token, whatever the text is
        for _ in range(taken):
            next(generation)
        generation.cancel()
        result = generation.result
        assert (len(result.token_ids), result.finish_reason) == (taken, "cancelled")
        said.append((result.token_ids, cache.ids, cache.decoder.ids))
    assert said[0] == said[1]


def test_a_reply_left_in_the_middle_of_a_draft_does_not_disturb_the_next() -> None:
    cache = TokenCache(Toy(30.0))
    left = begin(cache, lookup=PromptLookup(8))
    while not cache._ahead:
        next(left)
    expected = begin(TokenCache(Toy(30.0)), [*REPEATING, 3, 4]).result
    other = begin(cache, [*REPEATING, 3, 4], lookup=PromptLookup(8))
    next(other)
    left.cancel()
    assert left.result.finish_reason == "cancelled"
    assert other.result.token_ids == expected.token_ids
    assert cache.ids == cache.decoder.ids


def test_guesses_in_a_cache_are_taken_in_order_or_dropped() -> None:
    cache, plain = TokenCache(Toy()), Toy()
    cache.start([5, 6])
    expected = plain.decode([5, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(cache.append([7], [8, 9, 10]), expected[2])
    np.testing.assert_array_equal(cache.take(8), expected[3])
    assert cache.ids == cache.decoder.ids == [5, 6, 7, 8, 9, 10]
    np.testing.assert_array_equal(cache.append([9]), expected[4])
    assert cache.ids == cache.decoder.ids == [5, 6, 7, 8, 9]
    cache.append([10], [11, 12])
    assert cache.take(12) is None and cache.ids == cache.decoder.ids == [5, 6, 7, 8, 9, 10]
    cache.append([11], [12])
    cache.clear()
    assert cache.take(12) is None and cache.ids == cache.decoder.ids == []


def test_an_interrupted_step_leaves_cache_and_record_in_step() -> None:
    class Breaking(Toy):
        def decode(self, ids: Sequence[int]) -> np.ndarray:
            rows = super().decode(ids)
            if len(self.steps) > 1 and len(ids) > 2:
                raise KeyboardInterrupt
            return rows

    cache = TokenCache(Breaking(30.0))
    with pytest.raises(KeyboardInterrupt):
        list(begin(cache, lookup=PromptLookup(8)))
    assert cache.ids == cache.decoder.ids and not cache._ahead
    assert cache.take(cache.ids[-1]) is None


def test_logits_that_are_not_numbers_are_found_within_a_draft() -> None:
    class Broken(Toy):
        def _one(self, id_: int) -> np.ndarray:
            return super()._one(id_) * (np.nan if self.length > 45 else 1)

    with pytest.raises(BundleError, match="not numbers"):
        begin(TokenCache(Broken(30.0)), lookup=PromptLookup(8)).result  # noqa: B018 (runs it)


def test_draws_with_drafts_follow_the_probabilities() -> None:
    """Chi-square at 1 in 1000, of the second and third token of 3000 replies: accepted, refused and bonus rows."""

    class Fixed(Toy):
        def _one(self, id_: int) -> np.ndarray:
            self.ids.append(id_)
            return np.log(np.roll([0.4, 0.3, 0.2, 0.1], id_)).astype(np.float32)

    Fixed.vocab_size = 4
    joint = np.zeros((4, 4))
    accepted = 0
    for seed in range(3000):
        reply = begin(
            TokenCache(Fixed()),
            [0, 1, 2, 3, 0, 1, 2, 3],
            lookup=PromptLookup(4),
            eos_ids=(),
            max_tokens=4,
            sampling=Sampling(seed=seed),
        )
        reply._drafter._length = 2  # drafts from the first step on
        result = reply.result
        accepted += result.speculation.accepted
        joint[result.token_ids[1], result.token_ids[2]] += 1
    first = np.roll([0.4, 0.3, 0.2, 0.1], 3)
    second = sum(p * np.roll([0.4, 0.3, 0.2, 0.1], i) for i, p in enumerate(first))
    expected = 3000 * np.array([[second[i] * np.roll([0.4, 0.3, 0.2, 0.1], i)[j] for j in range(4)] for i in range(4)])
    assert ((joint - expected) ** 2 / expected).sum() < 37.7  # 15 degrees of freedom
    assert accepted > 300


def test_a_cache_that_can_drop_no_tokens_takes_no_guesses() -> None:
    toy = Toy()
    toy.rewindable = False
    with pytest.raises(UsageError, match="can't drop tokens"):
        begin(TokenCache(toy), lookup=PromptLookup(8))
    assert begin(TokenCache(toy)).result.token_ids
