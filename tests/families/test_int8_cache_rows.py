"""The format of a row of the int8 latent cache, as the exported graph writes it, against numpy's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.byte_rows import CARRIERS, COARSEST, FINEST, decode, encode, scale_bytes, scales
from tests.exported import cut, load, nodes
from tests.tiny_checkpoint import CONFIG

RANK, WIDTH = CONFIG["kv_lora_rank"], CONFIG["kv_lora_rank"] + CONFIG["qk_rope_head_dim"]
OTHERS = slice(CARRIERS, None)


@pytest.fixture(scope="module")
def write(int8_cache_tiny: Path) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    """``write(numbers [B,S,L+R], past [B,1,P,L+R])`` → the present that the exported graph's first layer returns."""
    graph = load(int8_cache_tiny).graph
    first = next(node for node in nodes(graph) if node.name.startswith("model.layers.0.self_attn.rows."))
    assert first.op_type == "Concat", "of c_kv and k_rope"
    part = cut(int8_cache_tiny, dict.fromkeys(first.input, np.float32) | {"past_key_values.0.key": np.uint8}, ["present.0.key"])

    def run(numbers: np.ndarray, past: np.ndarray | None = None) -> np.ndarray:
        past = np.zeros((len(numbers), 1, 0, WIDTH), np.uint8) if past is None else past
        c_kv, k_rope = np.split(numbers.astype(np.float32), [RANK], -1)
        return part.run(None, dict(zip(first.input, (c_kv, k_rope), strict=True)) | {"past_key_values.0.key": past})[0]

    return run


def check_errors(rows: np.ndarray, numbers: np.ndarray, scale: np.ndarray | float | None = None) -> None:
    """Half a step at most, and a whole one where a code says a bit of the scale; ``scale`` if it isn't what the rows say."""
    steps = np.abs(decode(rows) - numbers) / (scales(rows)[..., None] if scale is None else scale)
    assert steps[..., :CARRIERS].max() <= 1 + 1e-4
    assert steps[..., OTHERS].max() <= 0.5 + 1e-4


def rows_within(exponents: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    """Rows ``[L+R]`` of any shape whose largest number has the given logarithm to the base 2."""

    def sized(numbers: np.ndarray, exponent: float) -> np.ndarray:
        largest = np.abs(numbers).max()
        return (numbers / (largest or 1) * 2.0**exponent).astype(np.float32)

    numbers = arrays(np.float64, WIDTH, elements=st.floats(-1, 1, allow_subnormal=False))
    normal = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).standard_normal(WIDTH))
    return st.builds(sized, numbers | normal, exponents)


@settings(max_examples=150, deadline=None)
@given(numbers=rows_within(st.floats(-17, 13.9)))
@example(numbers=np.full(WIDTH, 127, np.float32))
@example(numbers=-np.full(WIDTH, 127 * 2**-24, np.float32))
@example(numbers=np.eye(1, WIDTH, WIDTH - 1, dtype=np.float32)[0] * 127 * 2**0.125)
def test_numbers_are_off_by_few_steps_and_no_scale_is_much_larger_than_it_must_be(write, numbers: np.ndarray) -> None:
    row = write(numbers[None, None])[0, 0, 0]
    assert row.shape == (WIDTH,) and row.min() >= 1, "codes are within ±127, so that two signs have one size"
    least = np.abs(numbers).max() / 127
    assert least * (1 - 1e-5) <= scales(row) <= max(least, FINEST) * 2**0.125 * (1 + 1e-5)
    check_errors(row, numbers)


@settings(max_examples=100, deadline=None)
@given(numbers=rows_within(st.floats(-17, 13.9)))
def test_a_row_is_what_the_format_says(write, numbers: np.ndarray) -> None:
    row, expected = write(numbers[None, None])[0, 0, 0], encode(numbers)
    found, wanted = scale_bytes(row), scale_bytes(expected)
    if found != wanted:  # the logarithm is within rounding of a whole number
        exact = 8 * (np.log2(np.abs(numbers).max() / 127) + 24)
        assert abs(exact - round(exact)) < 1e-3 and abs(int(found) - int(wanted)) == 1
    else:
        apart = np.abs(row.astype(int) - expected)
        assert apart[:CARRIERS].max() <= 2 and apart[OTHERS].max() <= 1, "ties go either way"
        assert (apart[OTHERS] > 0).mean() < 0.2


@pytest.mark.parametrize("sign", [1, -1])
def test_every_scale_is_said_by_every_row_even_if_its_largest_number_says_a_bit(write, sign: int) -> None:
    """Rows ``[8,256]``: the outlier in each of the first eight columns, so large that its code is the last, at each scale."""
    numbers = np.random.default_rng(0).standard_normal((CARRIERS, 256, WIDTH))
    numbers[np.arange(CARRIERS), :, np.arange(CARRIERS)] = sign * 127 * (1 - 1e-4)
    numbers *= (2.0 ** (np.arange(256) / 8 - 24))[:, None]
    rows = write(numbers)[:, 0]
    np.testing.assert_array_equal(scale_bytes(rows), np.broadcast_to(np.arange(256), (CARRIERS, 256)))
    check_errors(rows, numbers)
    outliers = rows[np.arange(CARRIERS), :, np.arange(CARRIERS)]
    assert set(np.unique(outliers)) == ({254, 255} if sign > 0 else {1, 2})


def test_rows_of_zeros(write) -> None:
    assert (write(np.zeros((1, 1, WIDTH))) == 128).all(), "the finest scale is said by bits of 0"


@pytest.mark.parametrize("size", [1e-30, 1e-9, 2.0**-25])
def test_rows_below_the_finest_scale_become_zeros_or_its_multiples(write, size: float) -> None:
    numbers = np.random.default_rng(0).uniform(-size, size, WIDTH).astype(np.float32)
    row = write(numbers[None, None])[0, 0, 0]
    assert scale_bytes(row) == 0
    check_errors(row, numbers)


@pytest.mark.parametrize("size", [1e3, 16_000])
def test_huge_rows(write, size: float) -> None:
    numbers = np.linspace(-size, size, WIDTH, dtype=np.float32)
    check_errors(write(numbers[None, None])[0, 0, 0], numbers, size / 127 * 2**0.125)


def test_rows_up_to_the_coarsest_scale_are_kept(write) -> None:
    numbers = np.linspace(-127 * COARSEST, 127 * COARSEST, WIDTH, dtype=np.float32) * 0.999
    row = write(numbers[None, None])[0, 0, 0]
    assert scale_bytes(row) == 255
    check_errors(row, numbers)


@pytest.mark.parametrize("size", [1e5, 1e30, np.inf])
def test_larger_rows_are_as_large_as_a_row_can_be(write, size: float) -> None:
    numbers = np.where(np.arange(WIDTH) % 3, size, -size)
    row = write(numbers[None, None])[0, 0, 0]
    assert scale_bytes(row) == 255
    check_errors(row, np.sign(numbers) * 127 * COARSEST)


def test_rows_are_appended_and_those_before_stay(write) -> None:
    random = np.random.default_rng(0)
    past = random.integers(0, 256, (3, 1, 7, WIDTH), np.uint8)
    numbers = random.standard_normal((3, 5, WIDTH)) * 2.0 ** random.uniform(-9, 9, (3, 5, 1))
    present = write(numbers, past)
    np.testing.assert_array_equal(present[:, :, :7], past)
    alone = [[write(numbers[i : i + 1, j : j + 1])[0, 0, 0] for j in range(5)] for i in range(3)]
    np.testing.assert_array_equal(present[:, 0, 7:], alone, err_msg="each row by itself")
