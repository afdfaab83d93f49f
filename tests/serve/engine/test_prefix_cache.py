"""Which cached tokens a prompt begins with, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.serve.engine.fake_batch import BYTES, FakeBatch, FakeCache, capacity
from tests.serve.engine.replies import PLENTY
from youtu_onnx.chat.prefix import common_prefix
from youtu_onnx.serve.engine.prefix_cache import WORTH_COPYING, WORTH_KEEPING, CachedSequence, PrefixCache

tokens = st.lists(st.integers(0, 2), max_size=12)
beginning = st.sampled_from([[], [0] * 15, [0] * 16, [0] * 40, [1] * 60])
sequence = st.tuples(beginning, tokens, st.integers(0, 40)).map(lambda parts: [*parts[0], *parts[1], *range(parts[2])])


def cached(ids: Sequence[int], *, shareable: bool = True) -> CachedSequence:
    cache = FakeCache(shareable)
    if ids:
        cache.append(ids)
    return CachedSequence(cache, list(ids))


def kept(prefixes: PrefixCache) -> list[list[int]]:
    return [one.ids for one in prefixes.kept]


@given(sequence, sequence)
def test_the_common_prefix_is_the_longest_common_beginning(one: list[int], other: list[int]) -> None:
    length = common_prefix(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]
    assert common_prefix(other, one) == length == common_prefix(tuple(one), other), "lists and tuples alike"


@given(st.lists(sequence, max_size=8))
def test_no_kept_sequence_begins_another_and_nothing_is_lost(sequences: list[list[int]]) -> None:
    prefixes = PrefixCache(FakeBatch())
    for ids in sequences:
        prefixes.keep(cached(ids))
    held = kept(prefixes)
    assert not any(common_prefix(one, other) == len(one) for one in held for other in held if one is not other)
    assert all(any(other[: len(ids)] == ids for other in held) for ids in sequences if ids)
    assert prefixes.nbytes == sum(one.cache.nbytes for one in prefixes.kept)


@given(st.lists(sequence, max_size=5), st.lists(sequence, max_size=3), sequence.filter(bool))
def test_a_prompt_gets_the_longest_beginning_that_is_worth_it(
    ended: list[list[int]], running: list[list[int]], prompt: list[int]
) -> None:
    prefixes, others = PrefixCache(FakeBatch()), [cached(ids) for ids in running]
    for ids in ended:
        prefixes.keep(cached(ids))
    before = kept(prefixes)
    longest = max((min(common_prefix(prompt, ids), len(prompt) - 1) for ids in (*ended, *running)), default=0)
    mine = prefixes.begin(prompt, others, PLENTY)
    length = len(mine.ids)
    assert length == (longest if longest >= WORTH_COPYING else 0)
    assert mine.ids == mine.cache.ids == prompt[:length], "the cache holds what it is said to hold"
    assert length < len(prompt), "logits after the last token are wanted"
    for ids, one in zip(running, others, strict=True):
        assert one.ids == one.cache.ids == ids and one.cache is not mine.cache, "a running sequence is left alone"
    after = kept(prefixes)
    assert all(one.ids == one.cache.ids and one.cache is not mine.cache for one in prefixes.kept)
    gone = [ids for ids in before if ids not in after]
    assert len(gone) <= 1 and all(len(ids) - length < WORTH_KEEPING for ids in gone)


def test_what_a_prompt_continues_is_taken_over_and_a_longer_one_is_copied() -> None:
    prefixes = PrefixCache(FakeBatch())
    short, long = cached([0] * 50), cached([1] * 100)
    prefixes.keep(short)
    prefixes.keep(long)
    mine = prefixes.begin([0] * 50 + [5, 6], [], PLENTY)
    assert mine.ids == [0] * 50
    assert mine.cache is short.cache
    other = prefixes.begin([1] * (100 - WORTH_KEEPING) + [5], [], PLENTY)
    assert other.ids == [1] * (100 - WORTH_KEEPING)
    assert other.cache is not long.cache and kept(prefixes) == [[1] * 100]
    last = prefixes.begin([1] * (101 - WORTH_KEEPING) + [5], [], PLENTY)
    assert last.ids == [1] * (101 - WORTH_KEEPING)
    assert last.cache is long.cache and kept(prefixes) == []


def test_the_least_recently_used_goes_first() -> None:
    prefixes = PrefixCache(FakeBatch())
    for one in range(3):
        prefixes.keep(cached([one] * 60))
    prefixes.begin([0] * 20 + [9], [], PLENTY)  # a use
    assert prefixes.drop_oldest() and kept(prefixes) == [[2] * 60, [0] * 60]
    assert prefixes.drop_oldest() and prefixes.drop_oldest()
    assert not prefixes.drop_oldest()
    assert prefixes.nbytes == 0


@given(st.lists(sequence, max_size=5), st.lists(sequence, max_size=3), sequence.filter(bool), st.integers(0, 400))
def test_a_copy_is_made_only_where_there_is_room_for_it(
    ended: list[list[int]], running: list[list[int]], prompt: list[int], more: int
) -> None:
    prefixes, others = PrefixCache(FakeBatch()), [cached(ids) for ids in running]
    for ids in ended:
        prefixes.keep(cached(ids))
    there = {id(one.cache) for one in prefixes.kept}
    before, room = prefixes.nbytes, max(prefixes.nbytes, more * BYTES)
    mine = prefixes.begin(prompt, others, room)
    assert prefixes.nbytes + mine.cache.nbytes <= room
    assert mine.ids == mine.cache.ids == prompt[: len(mine.ids)]
    gone = there - {id(one.cache) for one in prefixes.kept} - {id(mine.cache)}
    assert not gone or before + capacity(len(prompt)) * BYTES > room, "nothing goes that needn't"


def test_where_both_do_not_fit_the_kept_cache_is_taken_over_and_a_running_one_is_left_alone() -> None:
    prefixes = PrefixCache(FakeBatch())
    old, long = cached([0] * 50), cached([1] * 100)
    prefixes.keep(old)
    prefixes.keep(long)
    mine = prefixes.begin([1] * 20 + [5], [], long.cache.nbytes + 19 * BYTES)
    assert mine.cache is long.cache and mine.ids == mine.cache.ids == [1] * 20 and kept(prefixes) == []
    other = cached([2] * 100)
    assert prefixes.begin([2] * 20 + [5], [other], 19 * BYTES).ids == []
    assert other.cache.ids == [2] * 100


def test_nothing_is_kept_of_an_empty_sequence_and_clear_forgets_all() -> None:
    prefixes = PrefixCache(FakeBatch())
    prefixes.keep(cached([]))
    assert kept(prefixes) == []
    prefixes.keep(cached([1] * 20))
    prefixes.clear()
    assert prefixes.begin([1] * 30, [], PLENTY).ids == []


def test_what_a_failed_step_appended_is_undone() -> None:
    prefixes = PrefixCache(FakeBatch())
    ahead = cached([1, 2, 3])
    assert prefixes.undo(ahead) is ahead, "nothing was"
    ahead.cache.append([4])
    undone = prefixes.undo(ahead)
    assert undone.cache is ahead.cache and undone.ids == undone.cache.ids == [1, 2, 3]


def test_caches_that_are_good_for_their_whole_sequence_alone_serve_what_goes_on_where_they_end() -> None:
    prefixes = PrefixCache(FakeBatch(prefix_shareable=False))
    ended, longer, running = (cached([0] * length, shareable=False) for length in (50, 70, 40))
    prefixes.keep(ended)
    prefixes.keep(longer)
    prefixes.keep(cached([0] * 50, shareable=False))
    assert kept(prefixes) == [[0] * 50, [0] * 70], "neither has what the other has, and another one of the same adds nothing"
    copied = prefixes.begin([0] * 45, [running], PLENTY)
    assert copied.ids == copied.cache.ids == [0] * 40 and copied.cache is not running.cache
    for prompt in ([0] * 40, [0] * 50 + [1], [0] * 39 + [1]):
        mine = prefixes.begin(prompt, [longer], PLENTY)
        assert mine.cache is ended.cache if len(prompt) == 51 else mine.ids == mine.cache.ids == []
    assert kept(prefixes) == [[0] * 70] and ended.cache.ids == [0] * 50
    assert prefixes.begin([0] * 60, [], PLENTY).ids == [], "none is cut"


def test_a_repeatable_request_takes_a_whole_cache_only_if_all_of_it_is_as_a_prefill_computes_it() -> None:
    prefixes = PrefixCache(FakeBatch(prefix_shareable=False))
    for length, repeatable in ((50, 48), (40, 40)):
        prefixes.keep(CachedSequence(cached([0] * length, shareable=False).cache, [0] * length, repeatable))
    mine = prefixes.begin([0] * 60, [], PLENTY, left=8, repeatable=True)
    assert mine.ids == [0] * 40 and mine.repeatable == 40
    assert prefixes.begin([0] * 60, [], PLENTY, left=8, repeatable=True).ids == []
    assert prefixes.begin([0] * 60, [], PLENTY).ids == [0] * 50


def test_a_failed_step_has_such_a_sequence_start_over() -> None:
    prefixes = PrefixCache(FakeBatch(prefix_shareable=False))
    running = cached([0] * 40, shareable=False)
    running.cache.append([7])
    undone = prefixes.undo(running)
    assert undone.ids == undone.cache.ids == [] and undone.cache is not running.cache
