"""Replies: stopping, streaming, thinking, counting, and the cache between turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.chat.scripted import EOS, TOKENIZER, Scripted
from youtu_onnx.chat.generation import Generation, Piece
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK


def begin(
    decoder: Scripted, prompt: Sequence[int] = (2, 50, 3), *, cache: TokenCache | None = None, **choices: Any
) -> Generation:
    settings = {"sampling": Sampling(greedy=True), "max_tokens": None, "eos_ids": (EOS,)} | choices
    return Generation(cache or TokenCache(decoder), TOKENIZER, prompt, **settings)


# ---- one reply, scripted


def test_a_reply_ends_at_the_end_token_and_does_not_show_it() -> None:
    generation = begin(Scripted("Hi 😀!"))
    pieces = list(generation)
    result = generation.result
    assert "".join(pieces) == result.text == result.answer == "Hi 😀!"
    assert result.finish_reason == "stop"
    assert EOS not in result.token_ids and TOKENIZER.decode(result.token_ids) == "Hi 😀!"
    assert result.usage.to_dict() == {
        "prompt_tokens": 3,
        "completion_tokens": len(result.token_ids),
        "total_tokens": 3 + len(result.token_ids),
    }


def test_any_of_several_end_tokens_ends_it() -> None:
    generation = begin(Scripted([60, 61, 7, 62]), eos_ids=(EOS, 7))
    assert generation.result.token_ids == [60, 61]


def test_a_model_may_say_nothing() -> None:
    result = begin(Scripted([EOS])).result
    assert (result.text, result.token_ids, result.finish_reason) == ("", [], "stop")


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_max_tokens(limit: int) -> None:
    result = begin(Scripted([60] * 50), max_tokens=limit).result
    assert (len(result.token_ids), result.finish_reason) == (limit, "length")


@pytest.mark.parametrize("wanted", [None, 1000])
def test_the_context_ends_a_reply_too(wanted: int | None) -> None:
    decoder = Scripted([60] * 50, context_length=20)
    result = begin(decoder, max_tokens=wanted).result
    assert (result.usage.total_tokens, result.finish_reason) == (20, "length")
    assert decoder.length <= 20


def test_a_character_cut_by_the_limit_shows_as_replacement() -> None:
    generation = begin(Scripted("😀"), max_tokens=2)
    assert "".join(generation) == generation.result.text == TOKENIZER.decode(generation.result.token_ids) == "\ufffd"


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, "5"])
def test_impossible_max_tokens(bad: Any) -> None:
    with pytest.raises(UsageError, match="max_tokens"):
        begin(Scripted("x"), max_tokens=bad)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        begin(Scripted("x"), [])


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError, match=r"20 tokens.*context of 20") as caught:
        begin(Scripted("x", context_length=20), [5] * 20)
    assert caught.value.hint
    assert len(begin(Scripted([60] * 9, context_length=20), [5] * 19).result.token_ids) == 1


def test_cancelling_ends_after_the_current_token() -> None:
    generation = begin(Scripted([60] * 50))
    next(generation)
    generation.cancel()
    assert list(generation) == []
    assert (generation.result.finish_reason, len(generation.result.token_ids)) == ("cancelled", 1)
    never = begin(decoder := Scripted("x"))
    never.cancel()
    assert (never.result.finish_reason, decoder.computed) == ("cancelled", 0)


def test_pieces_say_what_they_are() -> None:
    generation = begin(Scripted("<think>\nhm 中\n</think>\n\n<b>yes"))
    pieces = list(generation)
    assert all(isinstance(piece, Piece) for piece in pieces)
    result = generation.result
    assert "".join(pieces) == result.text == "<think>\nhm 中\n</think>\n\n<b>yes"
    assert (result.thinking, result.answer) == ("hm 中", "<b>yes")
    assert {piece for piece in pieces if piece.kind == "tag"} == {"<think>", "</think>"}
    assert json.loads(json.dumps(pieces)) == pieces


def test_thinking_that_the_prompt_opened() -> None:
    result = begin(Scripted("hm</think>yes"), thinking=True).result
    assert (result.text, result.thinking, result.answer) == ("hm</think>yes", "hm", "yes")


def test_a_seed_repeats_a_reply() -> None:
    def draw(seed: int) -> list[int]:
        return begin(Scripted([60] * 50), sampling=Sampling(temperature=9.0, seed=seed), max_tokens=20).result.token_ids

    assert draw(1) == draw(1) != draw(2)


# ---- what the cache holds between replies


def test_a_common_beginning_is_not_computed_again() -> None:
    decoder = Scripted("abc")
    cache = TokenCache(decoder)
    first = begin(decoder, [2, 50, 51, 3], cache=cache).result
    history = [2, 50, 51, 3, *first.token_ids, EOS, 2, 52, 3]
    decoder.spoken = decoder.computed = 0
    second = begin(decoder, history, cache=cache).result
    assert second.timing.reused_tokens == 4 + len(first.token_ids)
    assert decoder.computed == 4 + len(second.token_ids)
    assert cache.ids == [*history, *second.token_ids]


def test_the_same_prompt_again_runs_its_last_token_only() -> None:
    decoder = Scripted([EOS])
    cache = TokenCache(decoder)
    begin(decoder, [2, 50, 3], cache=cache).result  # noqa: B018 (runs it)
    decoder.computed = 0
    assert begin(decoder, [2, 50, 3], cache=cache).result.timing.reused_tokens == 2
    assert decoder.computed == 1


def test_another_prompt_shares_nothing() -> None:
    decoder = Scripted([EOS])
    cache = TokenCache(decoder)
    begin(decoder, [2, 50, 3], cache=cache).result  # noqa: B018
    assert begin(decoder, [9, 50, 3], cache=cache).result.timing.reused_tokens == 0
    assert cache.ids == [9, 50, 3] and decoder.length == 3


def test_a_cache_that_can_drop_no_tokens_is_continued_or_begun_anew() -> None:
    decoder = Scripted([EOS])
    decoder.rewindable = False
    cache = TokenCache(decoder)
    begin(decoder, [2, 50, 3], cache=cache).result  # noqa: B018
    assert begin(decoder, [2, 50, 3, 7], cache=cache).result.timing.reused_tokens == 3
    assert begin(decoder, [2, 50, 9], cache=cache).result.timing.reused_tokens == 0
    assert cache.ids == [2, 50, 9] and decoder.length == 3


def test_an_interrupted_prefill_leaves_cache_and_record_in_step() -> None:
    decoder = Scripted("x")
    cache = TokenCache(decoder)
    decoder.breaks_after = 2
    with pytest.raises(KeyboardInterrupt):
        list(begin(decoder, [2, 50, 51, 3], cache=cache))
    assert cache.ids == [2, 50] and decoder.length == 2
    decoder.breaks_after = None
    assert begin(decoder, [2, 50, 51, 3], cache=cache).result.timing.reused_tokens == 2


def test_a_long_prompt_is_told_about_and_can_be_given_up() -> None:
    decoder, prompt = Scripted("x", context_length=2000), [2, *range(50, 1250), 3]
    cache, told = TokenCache(decoder), []
    reply = begin(decoder, prompt, cache=cache)
    reply.on_prompt = lambda done, total: (told.append((done, total)), done and reply.cancel())[0]
    assert (list(reply), reply.result.finish_reason, reply.result.token_ids) == ([], "cancelled", [])
    assert told == [(0, 1202), (PREFILL_CHUNK, 1202)] and cache.ids == prompt[:PREFILL_CHUNK]
    again = begin(decoder, prompt, cache=cache)
    told.clear()
    again.on_prompt = lambda done, total: told.append((done, total))
    assert again.result.timing.reused_tokens == PREFILL_CHUNK  # what was read is not read again
    assert told == [(PREFILL_CHUNK, 1202), (2 * PREFILL_CHUNK, 1202), (1202, 1202)]


class EvenIds:
    """Allows ids that are even, twice; then nothing goes on."""

    failure: str | None = None

    def __init__(self) -> None:
        self.taken: list[int] = []

    def allowed(self) -> np.ndarray:
        mask = np.arange(Scripted.vocab_size) % 2 == 0
        if len(self.taken) == 2:
            self.failure = "two are enough"
            mask = np.arange(Scripted.vocab_size) == EOS
        return mask

    def accept(self, id_: int) -> None:
        self.taken.append(id_)


def test_a_constraint_binds_each_token_and_says_where_nothing_goes_on() -> None:
    rules = EvenIds()
    reply = begin(Scripted([51, 52, 53, 54]), constraint=rules)
    with pytest.raises(YoutuOnnxError, match="can't go on under the schema: two are enough"):
        list(reply)
    assert len(rules.taken) == 2 and all(one % 2 == 0 for one in rules.taken) and 52 in rules.taken
