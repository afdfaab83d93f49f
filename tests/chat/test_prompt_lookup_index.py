"""The index behind prompt lookup finds what a search of the whole text finds."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from youtu_onnx.chat.ngram_index import NGRAMS, NgramIndex

prompts = st.lists(st.integers(0, 4), max_size=60)


def naive(ids: Sequence[int], count: int, lengths: Sequence[int]) -> list[int]:
    """By looking through the whole text: the latest place, before its end, where its longest listed n-gram was."""
    for length in sorted(lengths, reverse=True):
        for start in range(len(ids) - length - 1, -1, -1):
            if list(ids[start : start + length]) == list(ids[len(ids) - length :]):
                text = list(ids)
                for follower in range(count):
                    text.append(text[start + length + follower])
                return text[len(ids) :]
    return []


@settings(max_examples=300, deadline=None)
@given(prompts, st.integers(0, 9), st.sets(st.integers(1, 5), min_size=1))
def test_the_index_finds_what_a_search_of_the_whole_text_finds(ids: list[int], count: int, lengths: set[int]) -> None:
    index = NgramIndex(lengths=lengths)
    for end, one in enumerate(ids):
        assert index.continuation(count) == naive(ids[:end], count, [*lengths])
        index.push(one)
    assert index.continuation(count) == naive(ids, count, [*lengths])
    assert NgramIndex(ids, lengths).continuation(count) == index.continuation(count)


def test_the_longest_match_wins_and_among_equals_the_latest() -> None:
    assert NgramIndex([1, 2, 3, 40, 9, 2, 3, 50, 1, 2, 3], (2, 3)).continuation(1) == [40]
    assert NgramIndex([2, 3, 40, 2, 3, 50, 2, 3], (2,)).continuation(1) == [50]
    assert NgramIndex([1, 2, 3, 4], NGRAMS).continuation(3) == []


def test_a_period_goes_on_for_as_long_as_asked() -> None:
    assert NgramIndex([1, 2, 3, 1, 2]).continuation(7) == [3, 1, 2, 3, 1, 2, 3]
    assert NgramIndex([7, 7, 7]).continuation(4) == [7, 7, 7, 7]
