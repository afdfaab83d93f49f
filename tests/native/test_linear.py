"""``Linear`` of each instruction set against the product in float64: what its header says, within the error of float32's sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.native.linear_reference import Array, Linear, some_matrix, with_all
from tests.native.sessions import model, session

FEW_AND_MANY = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 70)
"""Rows of x. A kernel takes few of them in another order than many: up to 4 or 8 are few."""
ALL = [(bits, block) for bits in (4, 8) for block in (16, 32, 64, 128, 256)]


def some_x(count: int, width: int, seed: int = 0) -> Array:
    """Blocks of different sizes, and one of zeros."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((count, width)) * np.exp(generator.uniform(-3, 3, (count, width)))
    x[0, : min(width, 40)] = 0
    return x.astype(np.float32)


def check(library: Path, instructions: str, linear: Linear, counts: tuple[int, ...] = FEW_AND_MANY) -> None:
    """A model's y over so many rows is within the bound."""
    runner = session(library, linear.model(), instructions)
    for count in counts:
        x = some_x(count, linear.columns + 2 * linear.offset, count)
        residual = some_x(count, linear.width, count + 1000) if linear.residual else None
        (y,) = runner.run(None, {"x": x} | ({} if residual is None else {"residual": residual}))
        expected, bound = linear.expected(x, residual)
        assert y.shape == expected.shape
        away = np.abs(y - expected)
        assert (away <= bound).all(), (count, np.argwhere(away > bound)[:5], (away / (bound + 1e-30)).max())


@pytest.mark.parametrize(("bits", "block"), ALL)
def test_every_form_of_a_matrix(library: Path, instructions: str, bits: int, block: int) -> None:
    """Rows that end within a block, within a vector and with one, an odd number of them, with and without zero points."""
    for columns, rows in ((block, 1), (block + 1, 3), (3 * block, 33), (5 * block - 7, 65), (1024 + 16, 34)):
        for zeros in (False, True):
            check(library, instructions, some_matrix(rows, columns, bits, block, zeros), (1, 3, 4, 8, 9))


def test_few_rows_and_many(library: Path, instructions: str) -> None:
    check(library, instructions, some_matrix(100, 608, 4, 32, zeros=True))
    check(library, instructions, some_matrix(100, 608, 8, 32, zeros=True))


def test_more_rows_than_are_computed_together(library: Path, instructions: str) -> None:
    check(library, instructions, with_all(some_matrix(34, 96, 4, 32), residual=True), (513, 1030))


def test_a_matrix_of_several_tasks(library: Path, instructions: str) -> None:
    """A task takes 64 KiB of a matrix."""
    check(library, instructions, some_matrix(1501, 1024, 4, 128), (1, 2, 20))
    check(library, instructions, with_all(some_matrix(1502, 1024, 8, 64), gated=True), (1, 2, 20))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_what_stands_around_the_product(library: Path, instructions: str, gated: bool, residual: bool) -> None:
    for bits, block in ((4, 32), (8, 128)):
        bare = some_matrix(70, 200, bits, block, zeros=True)
        whole = with_all(bare, gated=gated, residual=residual)
        for linear in (whole, replace(whole, bias=None), replace(whole, gain=None), replace(whole, bias=None, gain=None)):
            scaled = replace(linear, scales=linear.scales / 100)  # gates on both sides of where a sigmoid bends
            check(library, instructions, scaled, (1, 6, 33))


def test_columns_of_x_from_an_offset_on(library: Path, instructions: str) -> None:
    check(library, instructions, with_all(some_matrix(40, 72, 4, 16), offset=5, residual=True), (1, 5, 20))


def test_epsilon_is_the_norms(library: Path, instructions: str) -> None:
    check(library, instructions, with_all(some_matrix(8, 64, 4, 32), epsilon=0.5), (2,))


@pytest.mark.parametrize("shape", [(96,), (3, 96), (2, 3, 96), (2, 1, 3, 96), (0, 96), (2, 0, 3, 96)])
def test_x_of_any_rank(library: Path, shape: tuple[int, ...]) -> None:
    linear = replace(some_matrix(33, 96, 4, 32), residual=True)
    count = int(np.prod(shape[:-1]))
    x, residual = some_x(max(count, 1), 96)[:count], some_x(max(count, 1), 33, 1)[:count]
    to = (*shape[:-1], 33)
    (y,) = session(library, linear.model(len(shape))).run(None, {"x": x.reshape(shape), "residual": residual.reshape(to)})
    assert y.shape == to
    expected, bound = linear.expected(x, residual)
    assert (np.abs(y.reshape(count, 33) - expected) <= bound).all()


@pytest.mark.parametrize("block", [32, 256])
def test_slots_and_a_chunk_change_nothing_of_each_other(library: Path, instructions: str, block: int) -> None:
    """Bit for bit: the first rows are each as alone, those behind them as without the first, however many of both there are."""
    linear = with_all(some_matrix(70, 300, 4, block, zeros=True), gated=True, slots=True)
    runner = session(library, linear.model(), instructions)

    def run(x: Array, slots: int) -> Array:
        (y,) = runner.run(None, {"x": x, "slots": np.zeros((1, slots), np.int64)})
        found: Array = y
        return found

    x = some_x(620, 300)
    alone = np.concatenate([run(x[i : i + 1], 1) for i in range(20)])
    expected, bound = linear.expected(x)
    for slots, chunk in ((0, 1), (1, 0), (1, 1), (3, 5), (20, 0), (9, 40), (20, 600)):
        y = run(x[: slots + chunk], slots)
        assert (np.abs(y - expected[: slots + chunk]) <= bound[: slots + chunk]).all()
        np.testing.assert_array_equal(y[:slots], alone[:slots])
        if chunk:
            np.testing.assert_array_equal(y[slots:], run(x[slots : slots + chunk], 0))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_sizes(library: Path, instructions: str, data: st.DataObject) -> None:
    bits, block = data.draw(st.sampled_from(ALL))
    gated, offset = data.draw(st.booleans()), data.draw(st.integers(0, 3))
    rows = data.draw(st.integers(1, 80)) * (2 if gated else 1)
    columns, seed = data.draw(st.integers(1, 700)), data.draw(st.integers(0, 99))
    bare = some_matrix(rows, columns, bits, block, data.draw(st.booleans()), seed)
    linear = with_all(bare, seed, gated=gated, offset=offset, residual=data.draw(st.booleans()))
    check(library, instructions, linear, (data.draw(st.integers(1, 70)),))


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-39, 1e-30, 1e30, 3e38])
def test_numbers_of_any_size_are_finite_where_the_product_is(library: Path, instructions: str, size: float) -> None:
    """Below 1e-28 a block may be taken for zeros."""
    linear = some_matrix(20, 64, 4, 32)
    x = (np.sign(some_x(3, 64, 1)) * size).astype(np.float32)
    for count in (1, 3, 12):
        rows = np.resize(x, (count, 64))
        (y,) = session(library, linear.model(), instructions).run(None, {"x": rows})
        expected, bound = linear.expected(rows.astype(np.float64))
        with np.errstate(over="ignore"):
            fine = np.abs(expected) < 1e38
            assert (np.abs(y - expected) <= bound + 1e-24)[fine].all()


def by_onnxruntime(linear: Linear, x: Array, library: Path) -> Array:
    known = {"K": linear.columns, "N": linear.rows, "bits": linear.bits, "block_size": linear.block, "accuracy_level": 4}
    own = linear.model()
    import onnx
    from onnx import numpy_helper

    constants = {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(own).graph.initializer}
    names = ("x", "codes", "scales", "zero_points")
    theirs = model("MatMulNBits", names, {"y": np.float32}, constants, {"x": (np.float32, 2)}, known, "com.microsoft")
    (y,) = session(library, theirs).run(None, {"x": x})
    found: Array = y
    return found


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("bits", "block"), ALL)
def test_as_onnxruntimes_own_operator(library: Path, instructions: str, bits: int, block: int, zeros: bool) -> None:
    """It rounds activations to bytes by the same blocks where its processor's kernels do, and takes them as floats elsewhere.

    Then the difference is that of rounding: half a step of a block for each column.
    """
    linear = some_matrix(48, 3 * block, bits, block, zeros)
    for count in (1, 20):
        x = np.random.default_rng(count).standard_normal((count, linear.columns)).astype(np.float32)
        (y,) = session(library, linear.model(), instructions).run(None, {"x": x})
        steps = np.abs(x.reshape(count, 3, block)).max(-1) / 127
        middle = 2.0 ** (bits - 1) if linear.zeros is None else linear.zeros[..., None]
        weights = np.abs((linear.quantized.reshape(48, 3, block) - middle) * linear.scales[..., None]).sum(-1)
        bound = steps @ weights.T / 2
        assert (np.abs(y - by_onnxruntime(linear, x, library)) <= bound * 1.01).all()


@pytest.mark.parametrize(("bits", "block"), [(4, 16), (4, 32), (4, 256), (8, 32), (8, 128)])
def test_scales_of_eleven_digits_are_read_as_halves_and_change_nothing(
    library: Path, instructions: str, bits: int, block: int
) -> None:
    """Bit for bit what the same matrix gives that has one number more, whose digits a half has no room for."""
    bare = some_matrix(70, 5 * block - 3, bits, block, zeros=True)
    scales = bare.scales.astype(np.float16).astype(np.float32) * np.float32(2.0**-9)
    scales[::3] *= -1
    linear = replace(bare, scales=scales)
    check(library, instructions, linear, (1, 3, 8, 20))
    longer = replace(
        linear,
        quantized=np.concatenate([linear.quantized, linear.quantized[:1]]),
        scales=np.concatenate([scales, np.nextafter(scales[:1], np.float32(1))]),
        zeros=np.concatenate([linear.zeros, linear.zeros[:1]]) if linear.zeros is not None else None,
    )
    for count in (1, 2, 3, 8, 20):
        x = some_x(count, linear.columns)
        halves, floats = (session(library, one.model(), instructions).run(None, {"x": x})[0] for one in (linear, longer))
        np.testing.assert_array_equal(halves, floats[:, :-1])


@pytest.mark.parametrize("columns", [16 * 1024, 16 * 1024 + 16])
def test_a_row_of_so_many_blocks_that_their_scales_stay_floats(library: Path, instructions: str, columns: int) -> None:
    bare = some_matrix(3, columns, 4, 16)
    check(library, instructions, replace(bare, scales=bare.scales.astype(np.float16).astype(np.float32)), (1, 9))


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("bits", "block"), ALL)
def test_to_the_last_bit_where_nothing_is_rounded(library: Path, instructions: str, bits: int, block: int, zeros: bool) -> None:
    """Integers of which the largest of each block is 127 are their own codes, and with scales of powers of two sums are exact.

    Then all kernels, ONNX Runtime's too, have the same bits.
    """
    generator = np.random.default_rng(block)
    bare = some_matrix(48, 3 * block - 8, bits, block, zeros)
    linear = replace(bare, scales=np.exp2(generator.integers(-2, 2, bare.scales.shape)).astype(np.float32))
    for count in (1, 5, 20):
        x = generator.integers(-127, 128, (count, linear.columns)).astype(np.float32)
        x[:, ::block] = 127
        (y,) = session(library, linear.model(), instructions).run(None, {"x": x})
        expected, _ = linear.expected(x)
        np.testing.assert_array_equal(y, expected.astype(np.float32))
        np.testing.assert_array_equal(y, by_onnxruntime(linear, x, library))
