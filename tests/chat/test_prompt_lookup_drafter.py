"""The drafter: how much it guesses, where a guess ends, and what it counts."""

from __future__ import annotations

from typing import Any

import pytest

from youtu_onnx.chat.drafter import Drafter, Speculation
from youtu_onnx.chat.prompt_lookup import MOST_TOKENS, PromptLookup
from youtu_onnx.core.errors import UsageError

EOS = 23
REPEATING = [5, 6, 7, 8, 9, 10, 11, 12] * 4


def test_drafts_grow_while_they_come_true_and_shrink_to_nothing() -> None:
    drafter = Drafter(PromptLookup(8), REPEATING)
    following = iter(REPEATING * 9)
    lengths = []
    for _ in range(6):
        drafter.push(next(following))
        draft = drafter.draft(100)
        lengths.append(len(draft))
        for one in draft:
            assert one == next(following)
            drafter.push(one)
    assert lengths == [0, 2, 4, 8, 8, 8]  # the first guess is watched only
    lengths = []
    for novelty in range(6):
        for one in (13 + novelty, 5, 6):  # 5, 6 was there before, and never goes on as the last time
            drafter.push(one)
        lengths.append(len(drafter.draft(100)))
    assert lengths == [8, 4, 2, 1, 0, 0]
    assert drafter.counts == Speculation(steps=12, drafted=45, accepted=30)


def test_a_draft_ends_before_an_end_token_and_where_room_ends() -> None:
    drafter = Drafter(PromptLookup(8), [1, 2, 3, EOS, 4, 1], (EOS,))
    drafter._length = 8
    drafter.push(2)
    assert drafter.draft(100) == [3]
    drafter.push(3)
    assert drafter.draft(100) == []
    assert Drafter(PromptLookup(8), [1, 2, 1, 2]).draft(0) == []


@pytest.mark.parametrize("wrong", [0, -1, MOST_TOKENS + 1, 2.0, True, "4"])
def test_impossible_draft_lengths(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"draft_tokens.*1 to 64"):
        PromptLookup(wrong)


def test_counts() -> None:
    assert Speculation(10, 20, 15).to_dict() == {"steps": 10, "drafted": 20, "accepted": 15, "tokens_per_step": 2.5}
    assert Speculation(0, 0, 0).tokens_per_step == 1
