"""What sequences are expected to take of the memory for caches, where rows leave them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.serve.engine.fake_batch import BYTES, FakeBatch
from tests.serve.engine.replies import request
from youtu_onnx.serve.engine.cache_budget import CacheBudget
from youtu_onnx.serve.engine.prefix_cache import CachedSequence
from youtu_onnx.serve.engine.sequence import TokenSequence
from youtu_onnx.serve.engine.step import RunningSequence


@dataclass
class Sparse:
    """A cache that keeps every third token's row."""

    length: int

    @property
    def nbytes(self) -> int:
        return self.length // 3 * BYTES

    def bytes_with(self, count: int) -> int:
        return self.nbytes + count * BYTES


class SparseBatch(FakeBatch):
    def cache_bytes(self, tokens: int) -> int:
        return tokens * BYTES


def sequence(tokens: int) -> TokenSequence:
    return TokenSequence(request([1] * tokens), lambda event: None, 100, lambda: None)


def running(tokens: int) -> RunningSequence:
    return RunningSequence(sequence(tokens), CachedSequence(Sparse(tokens), [1] * tokens))  # type: ignore[arg-type]


@pytest.mark.parametrize("returns", [False, True])
def test_growth_is_at_most_all_new_rows_and_the_old_ones_where_a_step_returns_caches(returns: bool) -> None:
    budget = CacheBudget(SparseBatch(prefix_shareable=False, returns_caches=returns), 1000 * BYTES)
    assert budget.growth(running(300), 7) == (107 if returns else 7) * BYTES


@pytest.mark.parametrize("returns", [False, True])
def test_a_sequence_begins_where_what_it_is_expected_to_keep_has_room(returns: bool) -> None:
    """A third, as those kept that ended: 100 rows that are there, and 300 to come."""
    for rows, fits in ((405, True), (395, False)):
        batch = SparseBatch(prefix_shareable=False, returns_caches=returns)
        budget = CacheBudget(batch, rows * BYTES * (2 if returns else 1))
        for _ in range(30):
            budget.ended(CachedSequence(Sparse(300), [1] * 300))  # type: ignore[arg-type]
        assert budget.has_room(sequence(900), [running(300)]) is fits


def test_before_any_has_ended_all_rows_are_expected_to_stay() -> None:
    budget = CacheBudget(SparseBatch(prefix_shareable=False), 1000 * BYTES)
    assert budget.has_room(sequence(700), [running(300)])
    assert not budget.has_room(sequence(701), [running(300)])
    assert budget.has_room(sequence(10**6), []), "alone it can begin always"
