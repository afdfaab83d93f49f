"""Which cached rows a prompt begins with, and what becomes of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fake_batch import FakeCache
from youtu_onnx.serve.engine.prefixes import WORTH_COPYING, WORTH_KEEPING, Prefixes, Rows, common

tokens = st.lists(st.integers(0, 2), max_size=12)
beginning = st.sampled_from([[], [0] * 15, [0] * 16, [0] * 40, [1] * 60])
sequence = st.tuples(beginning, tokens, st.integers(0, 40)).map(lambda parts: [*parts[0], *parts[1], *range(parts[2])])


def rows(ids: list[int]) -> Rows:
    cache = FakeCache()
    if ids:
        cache.append(ids)
    return Rows(cache, list(ids))


def kept(prefixes: Prefixes) -> list[list[int]]:
    return [one.ids for one in prefixes._kept]


@given(sequence, sequence)
def test_common_is_the_longest_common_beginning(one: list[int], other: list[int]) -> None:
    length = common(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]
    assert common(other, one) == length == common(tuple(one), other), "lists and tuples alike"


@given(st.lists(sequence, max_size=8))
def test_no_kept_sequence_begins_another_and_nothing_is_lost(sequences: list[list[int]]) -> None:
    prefixes = Prefixes()
    for ids in sequences:
        prefixes.keep(rows(ids))
    held = kept(prefixes)
    assert not any(common(one, other) == len(one) for one in held for other in held if one is not other)
    assert all(any(other[: len(ids)] == ids for other in held) for ids in sequences if ids)
    assert prefixes.nbytes == sum(one.cache.nbytes for one in prefixes._kept)


@given(st.lists(sequence, max_size=5), st.lists(sequence, max_size=3), sequence.filter(bool))
def test_a_prompt_gets_the_longest_beginning_that_is_worth_it(
    ended: list[list[int]], running: list[list[int]], prompt: list[int]
) -> None:
    prefixes, others = Prefixes(), [rows(ids) for ids in running]
    for ids in ended:
        prefixes.keep(rows(ids))
    before = kept(prefixes)
    longest = max((min(common(prompt, ids), len(prompt) - 1) for ids in (*ended, *running)), default=0)
    mine = rows([])
    length = prefixes.begin(mine, prompt, others)
    assert length == (longest if longest >= WORTH_COPYING else 0)
    assert mine.ids == mine.cache.ids == prompt[:length], "the cache holds what it is said to hold"
    assert length < len(prompt), "logits after the last token are wanted"
    for ids, one in zip(running, others, strict=True):
        assert one.ids == one.cache.ids == ids and one.cache is not mine.cache, "a running sequence is left alone"
    after = kept(prefixes)
    assert all(one.ids == one.cache.ids and one.cache is not mine.cache for one in prefixes._kept)
    gone = [ids for ids in before if ids not in after]
    assert len(gone) <= 1 and all(len(ids) - length < WORTH_KEEPING for ids in gone)


def test_what_a_prompt_continues_is_taken_over_and_a_longer_one_is_copied() -> None:
    prefixes = Prefixes()
    short, long = rows([0] * 50), rows([1] * 100)
    prefixes.keep(short)
    prefixes.keep(long)
    mine = rows([])
    assert prefixes.begin(mine, [0] * 50 + [5, 6], []) == 50
    assert mine.cache is short.cache
    other = rows([])
    assert prefixes.begin(other, [1] * (100 - WORTH_KEEPING) + [5], []) == 100 - WORTH_KEEPING
    assert other.cache is not long.cache and kept(prefixes) == [[1] * 100]
    last = rows([])
    assert prefixes.begin(last, [1] * (101 - WORTH_KEEPING) + [5], []) == 101 - WORTH_KEEPING
    assert last.cache is long.cache and kept(prefixes) == []


def test_the_least_recently_used_goes_first() -> None:
    prefixes = Prefixes()
    for one in range(3):
        prefixes.keep(rows([one] * 60))
    prefixes.begin(rows([]), [0] * 20 + [9], [])  # a use
    assert prefixes.drop_oldest() and kept(prefixes) == [[2] * 60, [0] * 60]
    assert prefixes.drop_oldest() and prefixes.drop_oldest()
    assert not prefixes.drop_oldest()
    assert prefixes.nbytes == 0


def test_nothing_is_kept_of_an_empty_sequence_and_clear_forgets_all() -> None:
    prefixes = Prefixes()
    prefixes.keep(rows([]))
    assert kept(prefixes) == []
    prefixes.keep(rows([1] * 20))
    prefixes.clear()
    assert prefixes.begin(rows([]), [1] * 30, []) == 0
