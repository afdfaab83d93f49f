"""Errors in steps: what rounding makes, whatever the numbers are like."""

from __future__ import annotations

import numpy as np
import pytest

from youtu_onnx.graphs.rounded import Floats, Rounded

RANDOM = np.random.default_rng(0)


def integers(wanted: Floats, step: float, block: int) -> Rounded:
    groups = -(-wanted.shape[1] // block)
    values = (np.round(wanted / step) * step).astype(np.float32)
    return Rounded(values, "int4", np.full((len(wanted), groups), step, np.float32), block)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("columns", [64, 70])
def test_rounding_is_a_third_of_a_step_off(size: float, columns: int) -> None:
    wanted = (RANDOM.normal(size=(50, columns)) * size).astype(np.float32)
    off = integers(wanted, size / 4, 32).off_by(wanted)
    assert off.shape == (50, -(-columns // 32))
    assert off.mean() == pytest.approx(0.288, rel=0.1)
    assert off.max() < 0.5


def test_one_step_more_in_one_block_shows_there() -> None:
    wanted = RANDOM.normal(size=(5, 64)).astype(np.float32)
    found = integers(wanted, 0.1, 32)
    found.values[3, 32:] += np.float32(0.1)
    off = found.off_by(wanted)
    assert off[3, 1] > 0.9
    assert np.delete(off.ravel(), 7).max() < 0.5


@pytest.mark.parametrize(("dtype", "at_most"), [(np.float16, 0.5001), (np.float32, 1e-9)])
def test_floats_are_half_a_step_off_at_most(dtype: type[np.floating], at_most: float) -> None:
    """Those that are too small for their kind, too."""
    wanted = (RANDOM.normal(size=(200, 50)) * 10.0 ** RANDOM.integers(-9, 3, (200, 1))).astype(np.float32)
    assert Rounded.floats(wanted.astype(dtype)).off_by(wanted).max() <= at_most


def test_factors_scale_steps() -> None:
    wanted = RANDOM.normal(size=(4, 32)).astype(np.float32)
    factors = np.array([1, -2, 1e-3, 50], np.float32)
    found = integers(wanted, 0.1, 32)
    scaled = found.times(factors)
    np.testing.assert_allclose(scaled.off_by(wanted * factors[:, None]), found.off_by(wanted), rtol=1e-3)
    both = found.rows(slice(0, 2)).above(found.rows(np.array([3])))
    assert np.array_equal(both.values, found.values[[0, 1, 3]]) and len(both) == len(both.steps) == 3


def test_what_lies_beyond_the_end_of_a_cut_range_is_not_counted() -> None:
    """But a code that is not the nearest is, and so is the wrong end."""
    ends = np.array([[[-8.0, 7.0]]], np.float32)
    found = Rounded(np.array([[7, -8, 3, 0]], np.float32), "int4", np.ones((1, 1), np.float32), 4, ends)
    assert found.off_by(np.array([[20, -9, 3, 0]], np.float32)).max() == 0
    assert found.off_by(np.array([[7, -8, 20, 0]], np.float32)).max() == 2, "4 steps in one of four"
    assert found.off_by(np.array([[-20, -8, 3, 0]], np.float32)).max() == 7.5
    half = found.times(np.array([-0.5], np.float32))
    assert half.off_by(np.array([[-10, 4.5, -1.5, 0]], np.float32)).max() == 0
