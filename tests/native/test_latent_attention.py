"""``LatentAttention``, over rows of float32, float16 and bytes, of each instruction set against latent attention in float64.

Two bounds. The wide one is of the exact formula: what bytes on the way cost. The narrow one is of the formula with those bytes in
it: of queries and of a head's sum of latents in the absorbed order, of rows' latents in the expanded one. What is left are
float32's sums, which may bring a number that is between two codes to either; and, over byte rows in the absorbed order, weights
of 7 or 14 bits.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.byte_rows import decode, encode, scale_bytes
from tests.native.attention_reference import Array, Attention, Rounding, Sizes, Step, to_bytes
from tests.native.sessions import session

SIZES = {
    "odd": Sizes(heads=3, nope=5, rope=6, rank=24, value=7, part=8, offset=2),
    "never expanded": Sizes(heads=3, nope=5, rope=6, rank=30, value=7, part=15),
    "one head": Sizes(heads=1, nope=1, rope=2, rank=8, value=1, part=4),
    "even": Sizes(heads=4, nope=16, rope=8, rank=64, value=32, part=32),
}
YOUTU = Sizes(heads=16, nope=128, rope=64, rank=512, value=128, part=128, offset=1536)
KINDS = (np.float32, np.float16, np.uint8)
"""Of a row's numbers."""
EXPANDS_FROM = 64
"""New tokens, where a part of W_UK is whole words."""
STEPS = [(1, 0), (1, 1), (1, 63), (1, 64), (1, 65), (2, 126), (3, 127), (5, 200), (1, 700), (30, 63), (63, 65), (1, 9000)]
"""New tokens and past ones; queries of 30 tokens are attended in several tasks, keys of 9,000 in more ranges."""
PROMPTS = [(64, 0), (64, 64), (65, 3), (130, 0), (127, 130), (200, 200)]


def rounding(attention: Attention, tokens: int) -> Rounding:
    """What the operator does to this many new tokens, by its own order."""
    if tokens >= EXPANDS_FROM and attention.sizes.part % 4 == 0:
        return Rounding() if attention.in_bytes else Rounding(of_latents=to_bytes)
    return Rounding(of_queries=to_bytes, of_absorbed=to_bytes if attention.in_bytes else None, of_contexts=to_bytes)


def away(found: Array, expected: Array) -> tuple[float, float]:
    """The root of the mean square of errors, and the largest error, both relative to what is expected."""
    errors = found - expected
    return float(np.sqrt(np.mean(errors**2) / np.mean(expected**2))), float(np.abs(errors).max() / np.abs(expected).max())


def rows_of(attention: Attention, present: Array) -> Array:
    """``[B,1,T,L+R]`` → the numbers that they stand for, ``[B,T,L+R]``."""
    return decode(present)[:, 0] if attention.in_bytes else present[:, 0].astype(np.float64)


def check(attention: Attention, runner: Any, step: Step, past: Array) -> tuple[Array, Array]:
    """Both outputs, held to the reference."""
    context, present = runner.run(None, step.feed(past))
    before = past.shape[2]
    np.testing.assert_array_equal(present[:, :, :before], past)
    check_rows(attention, present[:, 0, before:], attention.rows(step))
    rows = rows_of(attention, present)
    exactly = attention.context(step, rows)
    average, largest = away(context, exactly)
    assert average < 0.025 and largest < 0.05, (average, largest)
    average, largest = away(context, attention.context(step, rows, rounding(attention, step.tokens)))
    absorbed = step.tokens < EXPANDS_FROM or attention.sizes.part % 4
    if attention.in_bytes and absorbed:
        most = 0.01, 0.015
    elif attention.kind is np.float16 and not absorbed:
        most = 0.002, 0.008  # of numbers with 11 digits, one in a thousand is just between two codes
    else:
        most = 0.0005, 0.003
    assert average < most[0] and largest < most[1], (average, largest)
    return context, present


def check_rows(attention: Attention, made: Array, expected: Array) -> None:
    """New rows: floats to float32's rounding, in half precision the nearest to them; bytes within half a step, and within one
    where they carry a bit of the scale."""
    if attention.kind is np.float16:
        nearest = expected.astype(np.float16)
        assert (np.abs(made.view(np.int16) - nearest.view(np.int16)) <= 1).all() and (made != nearest).mean() < 0.02
        return
    if not attention.in_bytes:
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)
        return
    steps = 2.0 ** (np.ceil(8 * np.log2(np.abs(expected).max(-1, keepdims=True) / 127) - 1e-5) / 8)
    errors = np.abs(decode(made) - expected) / steps
    assert errors[..., 8:].max(initial=0) < 0.5001 and errors[..., :8].max(initial=0) < 1.0001


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SIZES)
def test_steps_and_prompts(library: Path, instructions: str, name: str, kind: type) -> None:
    attention = Attention(SIZES[name], kind)
    runner = session(library, attention.model(), instructions)
    for tokens, past in (*STEPS, *PROMPTS):
        check(attention, runner, attention.step(tokens, past), attention.past(past))


@pytest.mark.parametrize("kind", KINDS)
def test_youtus_own_sizes(library: Path, instructions: str, kind: type) -> None:
    attention = Attention(YOUTU, kind)
    runner = session(library, attention.model(), instructions)
    for tokens, past in ((1, 700), (5, 200), (66, 70)):
        check(attention, runner, attention.step(tokens, past), attention.past(past))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [1, 4, 70])
def test_padding_of_a_batch(library: Path, instructions: str, kind: type, tokens: int) -> None:
    """What the mask leaves out is seen by nobody: at the front, in the middle and among the new tokens."""
    attention = Attention(SIZES["even"], kind)
    step = attention.step(tokens, 150, batch=3)
    step.mask[0, :70] = 0
    step.mask[1, 64:128] = 0
    step.mask[1, -tokens : -tokens // 2] = 0
    check(attention, session(library, attention.model(), instructions), step, attention.past(150, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [3, 70])
def test_who_sees_nothing_has_zeros(library: Path, instructions: str, kind: type, tokens: int) -> None:
    attention = Attention(SIZES["even"], kind)
    step = attention.step(tokens, 5)
    step.mask[:, :7] = 0
    context, _ = check(attention, session(library, attention.model(), instructions), step, attention.past(5))
    assert not context[:, :2].any() and context[:, 2:].any(-1).all()


def test_any_number_but_zero_is_seen(library: Path, instructions: str) -> None:
    attention = Attention(SIZES["even"], kind=np.uint8)
    step, past = attention.step(2, 70), attention.past(70)
    runner = session(library, attention.model(), instructions)
    other = replace(step, mask=step.mask * np.arange(-10, 62))
    other.mask[:, 10] = 2**40
    for one, two in zip(runner.run(None, step.feed(past)), runner.run(None, other.feed(past)), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_sequences(library: Path, instructions: str, kind: type) -> None:
    """Bit for bit: what stands beside a sequence doesn't change it."""
    attention = Attention(SIZES["odd"], kind)
    runner = session(library, attention.model(), instructions)
    step, past = attention.step(2, 100, batch=2), attention.past(100, 2)
    step.mask[1, :30] = 0
    together = runner.run(None, step.feed(past))
    for b in range(2):
        alone = runner.run(None, {name: array[b : b + 1] for name, array in step.feed(past).items()})
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[b])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [(100,), (64, 36), (70, 30), (33, 33, 34), (99, 1), (1,) * 100], ids=str)
def test_a_prompt_in_pieces(library: Path, instructions: str, kind: type, pieces: tuple[int, ...]) -> None:
    """Whole, in chunks and token by token: rows are the same to the last bit, contexts as near as the formula is to either."""
    attention = Attention(SIZES["even"], kind)
    runner = session(library, attention.model(), instructions)
    whole, past = attention.step(sum(pieces), 20), attention.past(20)
    contexts, first, present = [], 0, past
    for piece in pieces:
        context, present = runner.run(None, whole.between(first, first + piece).feed(present))
        contexts.append(context)
        first += piece
    at_once, expected = runner.run(None, whole.feed(past))
    np.testing.assert_array_equal(present, expected)
    average, largest = away(np.concatenate(contexts, 1), attention.context(whole, rows_of(attention, present)))
    assert average < 0.025 and largest < 0.05
    average, largest = away(np.concatenate(contexts, 1), at_once)
    assert average < 0.035 and largest < 0.07


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tokens", "past"), [(1, 0), (1, 130), (4, 64), (70, 65)])
def test_past_in_the_place_of_present(library: Path, instructions: str, kind: type, tokens: int, past: int) -> None:
    """Bit for bit the same as copied, and the rows that were there are untouched."""
    attention = Attention(SIZES["odd"], kind)
    runner = session(library, attention.model(), instructions)
    step, rows = attention.step(tokens, past), attention.past(past)
    copied, present = runner.run(None, step.feed(rows))
    buffer: Array = np.full((1, 1, past + tokens, attention.sizes.width), 77, attention.kind)
    buffer[:, :, :past] = rows
    binding = runner.io_binding()
    for name, array in step.feed(rows).items():
        if name != "past":
            binding.bind_cpu_input(name, array)
    binding.bind_input("past", "cpu", 0, attention.kind, rows.shape, buffer.ctypes.data)
    binding.bind_output("present", "cpu", 0, attention.kind, buffer.shape, buffer.ctypes.data)
    context = np.zeros_like(copied)
    binding.bind_output("context", "cpu", 0, np.float32, context.shape, context.ctypes.data)
    runner.run_with_iobinding(binding)
    np.testing.assert_array_equal(context, copied)
    np.testing.assert_array_equal(buffer, present)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_sizes(library: Path, instructions: str, data: st.DataObject) -> None:
    part = data.draw(st.integers(8, 40))
    sizes = Sizes(
        heads=data.draw(st.integers(1, 7)),
        nope=data.draw(st.integers(1, 70)),
        rope=2 * data.draw(st.integers(1, 20)),
        rank=part * data.draw(st.integers(1, 4)),
        value=data.draw(st.integers(1, 70)),
        part=part,
        offset=data.draw(st.integers(0, 5)),
    )
    tokens, past, batch = data.draw(st.integers(1, 80)), data.draw(st.integers(0, 300)), data.draw(st.integers(1, 2))
    attention = Attention(sizes, data.draw(st.sampled_from(KINDS)))
    step = attention.step(tokens, past, batch)
    step.mask[:, : data.draw(st.integers(0, past))] = 0
    check(attention, session(library, attention.model(), instructions), step, attention.past(past, batch))


def plain_rows(library: Path, instructions: str, rows: Array, kind: type = np.uint8) -> Array:
    """What the operator writes for rows ``[T,R]`` of rotated keys alone, whose latents are nothing, ``[T,L+R]``."""
    attention = Attention(replace(SIZES["odd"], rope=rows.shape[1]), kind)
    attention.gain[:] = 0
    step = attention.step(len(rows), 0)
    step.cos[:], step.sin[:] = 1, 0
    step.kv[0, :, 2 + 24 : 2 + 24 + rows.shape[1]] = rows
    _, present = session(library, attention.model(), instructions).run(None, step.feed(attention.past(0)))
    found: Array = present[0, 0]
    return found


def test_a_byte_row_is_what_the_graphs_is(library: Path, instructions: str) -> None:
    """The scale of each size of numbers, and the codes, which may differ where a number is between two."""
    sizes = 2.0 ** np.arange(-30, 20, 0.01)
    rows = np.random.default_rng(0).standard_normal((len(sizes), 32))
    rows = (rows / np.abs(rows).max(-1, keepdims=True) * 127 * sizes[:, None]).astype(np.float32)
    made = plain_rows(library, instructions, rows)
    expected = encode(np.concatenate([np.zeros((len(rows), 24)), rows], -1))
    place = 8 * np.log2(np.abs(rows.astype(np.float64)).max(-1) / 127)
    certain = np.abs(place - np.rint(place)) > 1e-3
    assert certain.mean() > 0.95
    np.testing.assert_array_equal(scale_bytes(made)[certain], scale_bytes(expected)[certain])
    differ = made[certain].astype(int) - expected[certain]
    assert set(np.unique(differ[:, :8])) <= {0, 2}, "a number of nothing is as far from the code above as from the one below"
    assert np.abs(differ[:, 8:]).max() <= 1 and (differ[:, 8:] != 0).mean() < 0.001


def test_a_half_row_is_what_numpy_rounds_to(library: Path, instructions: str) -> None:
    """Bit for bit: numbers of every size, those between two halves, and larger ones than there are."""
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float64)
    between = (halves[1:] + halves[:-1]) / 2
    sizes = np.random.default_rng(0).standard_normal(20000) * 2.0 ** np.random.default_rng(1).integers(-40, 40, 20000)
    numbers = np.concatenate([halves, between, between * (1 + 1e-6), between * (1 - 1e-6), sizes, [7e4, 3e38, 1e-45]])
    numbers = np.resize(np.concatenate([numbers, -numbers]), (300, 1000)).astype(np.float32)  # all of them, some twice
    made = plain_rows(library, instructions, numbers, np.float16)[:, 24:]
    expected = np.clip(numbers, -65504, 65504).astype(np.float16)
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("number", [0, 1e-45, 1e-30, 1e6, 3e38, np.inf, -np.inf, np.nan])
def test_a_byte_row_of_any_number_is_a_row(library: Path, instructions: str, number: float) -> None:
    """The largest scale stands for numbers up to 29,000, and larger ones are taken for that."""
    with np.errstate(invalid="ignore"):
        found = decode(plain_rows(library, instructions, np.full((3, 6), number, np.float32)))
    assert np.isfinite(found).all()
    if np.abs(number) <= 1e-30:
        assert np.abs(found).max() <= 2.0**-24
    elif 1e6 <= number < np.inf:
        assert (found[:, 24:] > 28000).all()
