"""Which tests a plan has, and that they fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from youtu_onnx.bench import SCENARIOS, Plan, Trial
from youtu_onnx.bench.plan import least_memory, random_ids
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError

NanoBundle = Callable[..., Path]

counts = st.lists(st.integers(0, 64), max_size=4, unique=True).map(tuple)
some = st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True).map(tuple)


@given(
    prompts=counts,
    generate=counts,
    depths=counts.filter(len),
    batches=some,
    scenarios=st.lists(st.sampled_from(list(SCENARIOS)), unique=True).map(tuple),
)
def test_a_plan_is_every_combination_once(prompts, generate, depths, batches, scenarios) -> None:
    kinds = [f"pp{n}" for n in prompts if n] + [f"tg{n}" for n in generate if n] + list(scenarios)
    chosen = {"prompts": prompts, "generate": generate, "depths": depths, "batches": batches, "scenarios": scenarios}
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
