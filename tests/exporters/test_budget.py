"""The most that a number of bytes buys, beside every way there is."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.quantize.budget import Way, choose

STORAGES = [Blockwise(4, 256, False), Blockwise(4, 64, False), Blockwise(8, 128, False)]
numbers = st.tuples(st.integers(1, 60), st.floats(0, 10, allow_subnormal=False))
matrices = st.lists(st.lists(numbers, min_size=1, max_size=3), min_size=1, max_size=4).map(
    lambda listed: {
        str(place): [Way(storage, *one) for storage, one in zip(STORAGES, each, strict=False)]
        for place, each in enumerate(listed)
    }
)


@settings(max_examples=200, deadline=None)
@given(ways=matrices, budget=st.integers(0, 250))
def test_nothing_is_better_by_more_than_one_step(ways: dict[str, list[Way]], budget: int) -> None:
    possible = [each for each in product(*ways.values()) if sum(way.nbytes for way in each) <= budget]
    if not possible:
        with pytest.raises(ValueError, match="are the fewest"):
            choose(ways, budget)
        return
    chosen = choose(ways, budget)
    assert chosen.keys() == ways.keys() and all(way in ways[name] for name, way in chosen.items())
    assert sum(way.nbytes for way in chosen.values()) <= budget
    found, best = sum(way.cost for way in chosen.values()), min(sum(way.cost for way in each) for each in possible)
    largest = max(max(way.cost for way in each) - min(way.cost for way in each) for each in ways.values())
    assert best <= found + 1e-9 and found <= best + largest + 1e-9


def test_bytes_go_where_they_take_off_most() -> None:
    small, large = STORAGES[0], STORAGES[2]
    ways = {
        "of much use": [Way(small, 10, 5.0), Way(large, 20, 0.0)],
        "of little": [Way(small, 10, 1.0), Way(large, 20, 0.5)],
        "large": [Way(small, 100, 5.0), Way(large, 200, 0.0)],
    }
    assert {name: way.storage.bits for name, way in choose(ways, 130).items()} == {"of much use": 8, "of little": 4, "large": 4}
    assert {name: way.storage.bits for name, way in choose(ways, 140).items()} == {"of much use": 8, "of little": 8, "large": 4}
    assert {way.storage.bits for way in choose(ways, 240).values()} == {8}
