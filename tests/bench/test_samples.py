"""What the clock's readings become. No time is asserted: clocks are fakes."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from youtu_onnx.bench import Result, Sample, Statistics, Trial
from youtu_onnx.bench.samples import take_sample, warm_up

times = st.floats(1e-6, 1e4)


@given(st.lists(times, min_size=1, max_size=9))
def test_statistics(samples) -> None:
    found = Statistics(tuple(samples))
    assert found.min <= found.median <= found.max
    assert sum(one <= found.median for one in samples) * 2 >= len(samples) <= sum(one >= found.median for one in samples) * 2
    assert found.spread >= 0 and (found.spread > 0) == (found.min < found.max)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["samples"] == samples


@given(st.lists(times, min_size=1, max_size=9), st.integers(1, 4096), st.integers(1, 16))
def test_rates_are_tokens_over_seconds(samples, count, batch) -> None:
    result = Result(Trial(f"pp{count}", count, 0, batch=batch), 1, tuple(Sample(one, one) for one in samples))
    assert result.tokens_per_second.max == pytest.approx(batch * count / result.seconds.min)
    assert result.tokens_per_second.min == pytest.approx(batch * count / result.seconds.max)
    assert result.time_to_first_token is None and result.generation is None


def test_a_clock_too_coarse_for_the_work_is_no_division_by_zero() -> None:
    assert math.isfinite(Result(Trial("pp1", 1, 0), 1, (Sample(0.0, 0.0),)).tokens_per_second.median)


class FakeSequences:
    """A prompt's token takes 0.25 s, a step 2 s, and going back 100 s that nobody should see."""

    rows = None

    def __init__(self, length: int = 0) -> None:
        self.length, self.now, self.calls = length, 0.0, []

    def clock(self) -> float:
        return self.now

    def append(self, count: int) -> None:
        self.calls.append(count)
        self.length += count
        self.now += 2.0 if count == 1 else 0.25 * count

    def rewind_to(self, length: int) -> None:
        self.now += 100
        self.length = length


@pytest.mark.parametrize(
    ("trial", "seconds", "first", "rate", "generation"),
    [
        (Trial("pp8", 8, 0, depth=5), 2.0, None, 4.0, None),
        (Trial("tg3", 0, 3, depth=5), 6.0, None, 0.5, None),
        (Trial("qa", 8, 4, depth=5), 8.0, 2.0, 1.5, 0.5),
        (Trial("qa", 8, 4, depth=5, batch=2), 8.0, 2.0, 3.0, 1.0),
        (Trial("one", 8, 1, depth=5), 2.0, 2.0, 4.5, None),
    ],
)
def test_arithmetic(trial: Trial, seconds: float, first: float | None, rate: float, generation: float | None) -> None:
    sequences = FakeSequences(length=5)
    result = Result(trial, 1, tuple(take_sample(trial, sequences, sequences.clock) for _ in range(3)))
    assert sequences.length == 5, "a trial leaves the depth as it found it"
    assert result.seconds.samples == (seconds,) * 3
    assert result.tokens_per_second.median == rate
    assert (result.time_to_first_token and result.time_to_first_token.median) == first
    assert (result.generation and result.generation.median) == generation


@pytest.mark.parametrize(
    ("trial", "calls"),
    [
        (Trial("pp8", 8, 0), [8]),
        (Trial("tg9", 0, 9), [1]),
        (Trial("qa", 8, 4), [8, 1]),
    ],
)
def test_a_warm_up_is_the_prompt_and_one_token(trial: Trial, calls: list[int]) -> None:
    warm_up(trial, sequences := FakeSequences())
    assert sequences.calls == calls and sequences.length == 0
