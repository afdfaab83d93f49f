"""A plan carried out. No time is asserted: clocks are fakes, and on real ones only that numbers belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from youtu_onnx.bench import Benchmark, Plan
from youtu_onnx.bench.render import RENDERERS
from youtu_onnx.core.bundle import Bundle

NanoBundle = Callable[..., Path]


class Stages:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, stage: str, total: int | None = None, unit: str = "B") -> None:
        self.begun.append(stage)

    def advance(self, amount: int) -> None: ...

    def note(self, text: str) -> None: ...

    def finish(self) -> None: ...


def ticks(limit: int = 10**9) -> Callable[[], float]:
    """A clock that is a second later whenever one looks; Ctrl-C comes with the tick ``limit``."""
    now = iter(range(limit))

    def clock() -> float:
        try:
            return float(next(now))
        except StopIteration:
            raise KeyboardInterrupt from None

    return clock


@pytest.fixture
def opened(nano_bundle: NanoBundle) -> Iterator[Callable[..., Benchmark]]:
    made: list[Benchmark] = []

    def open_(plan: Plan, **options) -> Benchmark:
        made.append(Benchmark.open(nano_bundle("int4"), plan, **options))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def test_every_trial_is_measured_and_each_depth_filled_once(opened) -> None:
    plan = Plan(prompts=(8,), generate=(2,), depths=(0, 6), batches=(1, 2), threads=(1, 2, 1), repetitions=2)
    benchmark, stages = opened(plan, clock=ticks()), Stages()
    benchmark.run(stages)
    report = benchmark.report()
    assert report.complete and report.threads == 1
    assert [(result.trial, result.threads) for result in report.results] == [(t, n) for n in (1, 2) for t in plan.trials]
    assert all(len(result.samples) == 2 for result in report.results)
    assert sum(stage.startswith("filling the cache to 6") for stage in stages.begun) == 4  # threads × batches
    assert sum(stage.startswith("loading") for stage in stages.begun) == 1  # the first session was there


def test_the_first_prompt_is_the_cold_one(opened) -> None:
    for plan, tokens in ((Plan((8,), ()), 8), (Plan((8,), (), warmup=False), 8), (Plan((), (4,)), 1), (Plan((8,), (), (5,)), 5)):
        benchmark = opened(replace(plan, repetitions=1), clock=ticks())
        assert benchmark.report().first_prompt is None
        benchmark.run()
        first = benchmark.report().first_prompt
        assert first.tokens == tokens and first.seconds == 1.0 and first.since_start > 0


def test_an_interrupt_leaves_what_was_measured(opened) -> None:
    benchmark = opened(Plan((8,), (2,), repetitions=3), clock=ticks(26))
    with pytest.raises(KeyboardInterrupt):
        benchmark.run()
    report = benchmark.report()
    assert not report.complete and report.to_dict()["complete"] is False
    assert 0 < sum(len(result.samples) for result in report.results) < 6
    assert "BROKEN OFF" in RENDERERS["table"](report)


def test_an_interrupt_before_the_first_sample_leaves_a_report_without_results(opened) -> None:
    benchmark = opened(Plan((8,), ()), clock=ticks(3))
    with pytest.raises(KeyboardInterrupt):
        benchmark.run()
    report = benchmark.report()
    assert report.results == () and report.first_prompt is None
    for render in RENDERERS.values():
        assert render(report)


def test_memory_and_sizes_belong_together(opened, nano_bundle: NanoBundle) -> None:
    benchmark = opened(Plan((32,), (4,), repetitions=1))
    benchmark.run()
    made = benchmark.report().to_dict()
    assert 2**20 < made["memory_after_load_bytes"] <= made["peak_memory_bytes"] < made["machine"]["memory_bytes"]
    assert made["file_bytes"] == sum(made["files"].values())
    assert all(size == (nano_bundle("int4") / name).stat().st_size for name, size in made["files"].items())
    assert 4 < made["bits_per_weight"] < 6
    assert made["cache_bytes_per_token"] == Bundle.open(nano_bundle("int4")).manifest.cache.bytes_per_token
    assert made["load_seconds"] > 0 and made["start_to_first_token_seconds"] > made["first_prompt_seconds"] > 0
