"""``youtu_onnx.bench``: which tests a plan has, what the clock's readings become, how a report is written.

No time is asserted: clocks are fakes, and on real ones only that numbers belong together.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from youtu_onnx.bench import SCENARIOS, Benchmark, Plan, Report, Result, Sample, Statistics, Trial
from youtu_onnx.bench.plan import least_memory, random_ids
from youtu_onnx.bench.render import RENDERERS
from youtu_onnx.bench.samples import take_sample, warm_up
from youtu_onnx.bench.sequences import ManySequences, OneSequence
from youtu_onnx.core import machine
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.machine import Machine
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK

NanoBundle = Callable[..., Path]

counts = st.lists(st.integers(0, 64), max_size=4, unique=True).map(tuple)
some = st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True).map(tuple)
times = st.floats(1e-6, 1e4)


# The plan


@given(
    prompts=counts,
    generate=counts,
    depths=counts.filter(len),
    batches=some,
    scenarios=st.lists(st.sampled_from(list(SCENARIOS)), unique=True).map(tuple),
)
def test_a_plan_is_every_combination_once(prompts, generate, depths, batches, scenarios) -> None:
    kinds = [f"pp{n}" for n in prompts if n] + [f"tg{n}" for n in generate if n] + list(scenarios)
    chosen = dict(prompts=prompts, generate=generate, depths=depths, batches=batches, scenarios=scenarios)
    if not kinds:
        with pytest.raises(UsageError, match="nothing to measure"):
            Plan(**chosen)
        return
    found = [(trial.batch, trial.depth, trial.name) for trial in Plan(**chosen).trials]
    assert found == [(batch, depth, kind) for batch in batches for depth in depths for kind in kinds]


def test_the_default_is_that_of_llama_bench() -> None:
    assert Plan().trials == (Trial("pp512", 512, 0), Trial("tg128", 0, 128))
    assert (Plan().repetitions, Plan().warmup) == (5, True)


def test_duplicates_count_once() -> None:
    assert len(Plan(prompts=(8, 8), generate=(0,), depths=(0, 0)).trials) == 1


@pytest.mark.parametrize(
    ("trial", "steps", "tokens", "length", "label"),
    [
        (Trial("pp512", 512, 0, depth=100, batch=2), 0, 1024, 612, "pp512 @ d100"),
        (Trial("tg128", 0, 128), 128, 128, 128, "tg128"),
        (Trial("qa", 32, 128, batch=3), 127, 480, 159, "qa"),
    ],
)
def test_what_a_trial_computes(trial: Trial, steps: int, tokens: int, length: int, label: str) -> None:
    assert (trial.steps, trial.tokens, trial.length, trial.label) == (steps, tokens, length, label)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompts": (-1,)},
        {"generate": (8, -2)},
        {"depths": (-1,)},
        {"batches": (0,)},
        {"threads": (0,)},
        {"repetitions": 0},
        {"scenarios": ("poetry",)},
        {"prompts": (0,), "generate": (0,)},
        {"prompts": (), "generate": ()},
    ],
)
def test_plans_that_can_not_be(wrong) -> None:
    with pytest.raises(UsageError) as raised:
        Plan(**wrong)
    assert raised.value.hint


def test_a_trial_beyond_the_context_is_refused(nano_bundle: NanoBundle) -> None:
    manifest = Bundle.open(nano_bundle()).manifest
    context = manifest.model.max_position_embeddings
    Plan(prompts=(512,), generate=(), depths=(context - 512,)).check(manifest)
    with pytest.raises(UsageError, match=r"pp512 @ d513 needs 1,025 tokens.*context of 1,024"):
        Plan(prompts=(512,), generate=(), depths=(context - 511,)).check(manifest)


def test_a_trial_beyond_the_memory_is_refused(nano_bundle: NanoBundle) -> None:
    manifest = Bundle.open(nano_bundle()).manifest
    small, large = (Plan(prompts=(), generate=(64,), depths=(512,), batches=(batch,)) for batch in (1, 64))
    enough = least_memory(small.trials[0], manifest)
    small.check(manifest, enough)
    large.check(manifest, None)
    with pytest.raises(UsageError, match="batch of 64 needs"):
        large.check(manifest, enough)


@given(batch=st.integers(1, 4), length=st.integers(1, 50), vocab=st.integers(8, 300), excluded=st.frozensets(st.integers(0, 6)))
def test_ids_are_reproducible_and_never_special(batch, length, vocab, excluded) -> None:
    ids = random_ids(batch, length, vocab, excluded)
    assert ids.shape == (batch, length) and ids.dtype == np.int64
    assert ids.min() >= 0 and ids.max() < vocab and not excluded & set(ids.ravel().tolist())
    assert np.array_equal(ids, random_ids(batch, length, vocab, excluded))


# Samples


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


# Sequences


class EchoModel:
    """Its cache is the ids that it was given, so that a test can read them there."""

    device, device_id = "cpu", 0
    bundle = SimpleNamespace(manifest=SimpleNamespace(cache=SimpleNamespace(length=None)))

    def __init__(self) -> None:
        self.seen = np.empty((0, 0))

    def run(self, ids, mask, positions, past=None, *, last_only=False):
        before = np.empty((len(ids), 1, 0, 1), np.float32) if past is None else past[0].numpy()
        total = before.shape[2] + ids.shape[1]
        assert mask.shape == (len(ids), total) and mask.all()
        assert np.array_equal(positions, np.tile(np.arange(before.shape[2], total), (len(ids), 1)))
        assert ids.size <= max(PREFILL_CHUNK, len(ids)), "a step is no larger than a single sequence's"
        present = np.concatenate([before, ids[:, None, :, None].astype(np.float32)], 2)
        self.seen = present[:, 0, :, 0]
        return None, [ort.OrtValue.ortvalue_from_numpy(present)]


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=12))
def test_many_sequences_always_hold_the_beginning_of_their_text(batch, moves) -> None:
    ids = random_ids(batch, 2000, 999, frozenset())
    sequences, length = ManySequences(model := EchoModel(), ids), 0
    for forward, count in moves:
        if forward and 0 < count <= 2000 - length:
            sequences.append(count)
            length += count
            assert np.array_equal(model.seen, ids[:, :length])
        elif not forward:
            sequences.rewind_to(count)
            length = min(length, count)
        assert sequences.length == length


@pytest.mark.parametrize("form", ["latent", "expanded"])
def test_sequences_on_a_real_bundle(nano_bundle: NanoBundle, form: str) -> None:
    from youtu_onnx.runtimes.ort.decoder import OrtDecoder
    from youtu_onnx.runtimes.ort.model import OrtModel

    model = OrtModel(Bundle.open(nano_bundle("int4", form)))
    ids = random_ids(2, 40, 1000, frozenset(range(10)))
    for sequences in (OneSequence(OrtDecoder(model), ids[:1]), ManySequences(model, ids)):
        sequences.append(30)
        sequences.append(1)
        sequences.rewind_to(20)
        sequences.append(1)
        sequences.rewind_to(20)
        sequences.rewind_to(30)
        assert sequences.length == 20
        sequences.rewind_to(0)
        assert sequences.length == 0


# The benchmark


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


# The machine


def test_the_machine_is_described() -> None:
    found = Machine.here()
    assert found.cpu and found.cores >= 1 and found.memory_bytes > 2**28
    assert found.onnxruntime == ort.__version__
    total, available = machine.memory()
    assert 0 < available <= total == found.memory_bytes


def test_a_process_grows_older_and_its_peak_is_above_what_it_has() -> None:
    before = machine.process_age()
    assert 0 < before <= machine.process_age() < 10**7
    assert 2**20 < machine.resident_bytes() <= machine.peak_bytes() * 1.01


def test_where_linux_files_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path, *args: object, **options: object) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    assert machine.process_age() >= 0 and machine.cpu_name() and machine.memory()[0] > 0
    assert machine.peak_bytes() > 0


# Reports as text


@pytest.fixture(scope="module")
def report(nano_bundle: NanoBundle) -> Report:
    results = (
        Result(Trial("pp8", 8, 0, depth=4), 2, (Sample(2.0, 2.0), Sample(1.0, 1.0), Sample(4.0, 4.0))),
        Result(Trial("tg6", 0, 6, batch=3), 1, (Sample(3.0, 0.0),)),
        Result(Trial("qa", 32, 128), 2, (Sample(10.0, 2.0), Sample(20.0, 4.0))),
    )
    where = Machine("A | CPU, 中文", 4, 8 * 10**9, "System 1", "3.12", "1.30")
    return Report(Bundle.open(nano_bundle("int4")), Plan(), where, "cpu", 2, 1.5, 10**8, 2 * 10**8, None, results, True)


CONTRACT = {
    "bundle",
    "provider",
    "threads",
    "machine",
    "load_seconds",
    "start_to_first_token_seconds",
    "memory_after_load_bytes",
    "peak_memory_bytes",
    "file_bytes",
    "bits_per_weight",
    "cache_bytes_per_token",
    "results",
}
RESULT_CONTRACT = {
    "test",
    "prompt_tokens",
    "generated_tokens",
    "depth",
    "batch",
    "threads",
    "tokens_per_second",
    "seconds",
    "time_to_first_token_seconds",
}


def test_json_has_the_keys_that_programs_rely_on(report: Report) -> None:
    made = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert made.keys() >= CONTRACT
    for one, result in zip(made["results"], report.results, strict=True):
        assert one.keys() >= RESULT_CONTRACT
        for name in ("tokens_per_second", "seconds"):
            assert one[name].keys() >= {"median", "min", "max", "samples"}
            assert len(one[name]["samples"]) == len(result.samples)
    assert [one["test"] for one in made["results"]] == ["pp8", "tg6", "qa"]
    assert [one["time_to_first_token_seconds"] and one["time_to_first_token_seconds"]["median"] for one in made["results"]] == [
        None,
        None,
        3.0,
    ]


def test_csv_is_read_back(report: Report) -> None:
    text = RENDERERS["csv"](report)
    head = text.splitlines()[0].split(",")
    assert len(head) == len(set(head))
    for row, result in zip(csv.DictReader(io.StringIO(text)), report.results, strict=True):
        assert row["machine_cpu"] == report.machine.cpu and int(row["file_bytes"]) == report.bundle.size
        assert (row["test"], int(row["depth"]), int(row["batch"]), int(row["threads"])) == (
            result.trial.name,
            result.trial.depth,
            result.trial.batch,
            result.threads,
        )
        for part in ("median", "min", "max"):
            assert float(row[f"tokens_per_second_{part}"]) == getattr(result.tokens_per_second, part)
            assert float(row[f"seconds_{part}"]) == getattr(result.seconds, part)
        first = row["time_to_first_token_seconds_median"]
        assert (float(first) if first else None) == (result.time_to_first_token and result.time_to_first_token.median)


def test_markdown_is_read_back(report: Report) -> None:
    lines = [line for line in RENDERERS["md"](report).splitlines() if line.startswith("|")]
    head, rule, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert all(len(row) == len(head) == len(rule) for row in rows)
    assert head[:5] == ["model", "size", "params", "backend", "threads"]
    for cells, result in zip(rows, report.results, strict=True):
        row = dict(zip(head, cells, strict=True))
        assert row["test"] == result.trial.label and row["threads"] == str(result.threads)
        assert float(row["t/s"]) == pytest.approx(result.tokens_per_second.median, abs=0.005)
    assert dict(zip(head, rows[2], strict=True))["ttft s"] == "3.000"


def test_table_lines_up(report: Report) -> None:
    facts, rows = RENDERERS["table"](report).split("\n\n")
    head, *lines = rows.splitlines()
    assert "first token" not in facts and "A | CPU" in facts
    assert len({len(line) for line in (head, *lines)}) == 1
    cells = [re.split(r"\s{2,}", line.strip()) for line in (head, *lines)]
    assert {len(row) for row in cells} == {10} and [row[2] for row in cells] == ["test", "pp8 @ d4", "tg6", "qa"]


def test_columns_that_would_say_nothing_are_left_out(report: Report) -> None:
    plain = RENDERERS["table"](replace(report, results=report.results[:1]))
    assert "batch" not in plain and "ttft" not in plain
