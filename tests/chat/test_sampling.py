"""Sampling: transformers' warpers are the reference, nonsense is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from youtu_onnx.chat.distribution import distribution
from youtu_onnx.chat.sampler import Sampler, penalize
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.core.softmax import softmax

LOGITS = np.random.default_rng(3).normal(0, 3, 200).astype(np.float32)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "hot"},
        {"temperature": True},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_k": True},
        {"top_p": 0},
        {"top_p": 1.01},
        {"top_p": math.nan},
        {"top_p": -1},
        {"min_p": -0.1},
        {"min_p": 1.01},
        {"min_p": math.nan},
        {"seed": -1},
        {"seed": 1.0},
        {"greedy": 1},
        {"repetition_penalty": 0},
        {"presence_penalty": math.inf},
        {"frequency_penalty": "some"},
        {"logit_bias": {-1: 1.0}},
        {"logit_bias": {3: math.nan}},
        {"logit_bias": {"3": 1.0}},
    ],
)
def test_nonsense_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(fields))):
        Sampling(**fields)


@pytest.mark.parametrize("chosen", [{"greedy": True}, {"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-9}])
def test_the_likeliest_token(chosen: dict[str, Any]) -> None:
    assert {Sampler(Sampling(**chosen)).pick(LOGITS) for _ in range(5)} == {int(LOGITS.argmax())}


def test_a_seed_repeats_itself_and_differs_from_another() -> None:
    def draw(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(seed=seed, temperature=2.0))
        return [sampler.pick(LOGITS) for _ in range(20)]

    assert draw(1) == draw(1) != draw(2)
    assert draw(None) != draw(None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 7},
        {"top_p": 0.8},
        {"top_k": 300},
        {"min_p": 0.1},
        {"min_p": 1.0},
        {"temperature": 1.7, "top_k": 20, "top_p": 0.9},
        {"temperature": 1.7, "top_k": 20, "top_p": 0.9, "min_p": 0.3},
    ],
)
def test_probabilities_are_those_of_transformers(fields: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    from transformers.generation import logits_process as theirs

    sampling = Sampling(**fields)
    scores = torch.tensor(LOGITS)[None]
    scores = theirs.TemperatureLogitsWarper(float(sampling.temperature))(None, scores)
    if sampling.top_k:
        scores = theirs.TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = theirs.TopPLogitsWarper(sampling.top_p)(None, scores)
    if sampling.min_p > 0:
        scores = theirs.MinPLogitsWarper(sampling.min_p)(None, scores)
    ids, probabilities = distribution(LOGITS.astype(np.float64), sampling)
    ours = np.zeros(len(LOGITS))
    ours[ids] = probabilities
    np.testing.assert_allclose(ours, scores.softmax(-1)[0].numpy(), atol=1e-6)


def test_the_repetition_penalty_is_that_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

    seen = [1, 5, 5, 9]
    expected = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([seen]), torch.tensor(LOGITS)[None])[0].numpy()
    np.testing.assert_allclose(penalize(LOGITS, set(seen), 1.3), expected, rtol=1e-6)
    assert penalize(LOGITS, set(), 1.3) is LOGITS


def test_draws_follow_the_probabilities() -> None:
    sampler = Sampler(Sampling(seed=0))
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    counts = np.bincount([sampler.pick(logits) for _ in range(4000)], minlength=3)
    np.testing.assert_allclose(counts / 4000, [0.5, 0.3, 0.2], atol=0.03)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=30), st.floats(0.01, 100), st.integers(0, 40), st.floats(0.01, 1))
def test_any_finite_logits_give_a_token(logits: list[float], temperature: float, top_k: int, top_p: float) -> None:
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=0)
    ids, probabilities = distribution(np.array(logits), sampling)
    assert len(set(ids.tolist())) == len(ids) >= 1
    np.testing.assert_allclose(probabilities.sum(), 1)
    assert Sampler(sampling).pick(np.array(logits)) in range(len(logits))


def test_masked_logits_are_never_drawn_and_broken_ones_are_an_error() -> None:
    assert {Sampler(Sampling(seed=s)).pick(np.array([-np.inf, 1.0, -np.inf])) for s in range(20)} == {1}
    for broken in ([math.nan, 1.0], [-math.inf, -math.inf], [math.inf, 1.0]):
        with pytest.raises(BundleError, match="not numbers"):
            Sampler(Sampling()).pick(np.array(broken))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_tokens_kept_are_those_that_a_full_sort_finds(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    # few different values: ties at the boundary, over many blocks
    logits = np.round(random.normal(0, data.draw(st.sampled_from([0.01, 1, 4, 30])), data.draw(st.integers(1, 3000))), 1)
    sampling = Sampling(
        temperature=data.draw(st.floats(0.05, 5)),
        top_k=data.draw(st.sampled_from([0, 1, 2, 5, 20, 900])),
        top_p=data.draw(st.floats(0.001, 0.999999)),
    )
    order = np.argsort(-logits, kind="stable")[: sampling.top_k or None]
    probabilities = softmax(logits[order] / sampling.temperature)
    kept = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
    ids, found = distribution(logits, sampling)
    # a sum that ties with top_p to the last bit may round either way
    tie = np.isclose(np.cumsum(probabilities), sampling.top_p, rtol=0, atol=1e-12).any()
    assert ids.tolist() == order[:kept].tolist() or (tie and abs(len(ids) - kept) <= 1)
    if not tie:
        np.testing.assert_allclose(found, probabilities[:kept] / probabilities[:kept].sum(), rtol=1e-9, atol=1e-300)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.data())
def test_penalties_and_bias_are_openais(logits: list[float], data: st.DataObject) -> None:
    ids = st.integers(0, len(logits) - 1)
    generated = data.draw(st.dictionaries(ids, st.integers(1, 50)))
    presence, frequency = data.draw(st.floats(-2, 2)), data.draw(st.floats(-2, 2))
    bias = data.draw(st.dictionaries(ids, st.floats(-100, 100)))
    expected = [
        logit - generated.get(id_, 0) * frequency - (id_ in generated) * presence + bias.get(id_, 0)
        for id_, logit in enumerate(logits)
    ]
    given_logits = np.array(logits)
    sampler = Sampler(Sampling(greedy=True, presence_penalty=presence, frequency_penalty=frequency, logit_bias=bias))
    picked = sampler.pick(given_logits, generated=generated)
    assert expected[picked] == pytest.approx(max(expected), abs=1e-9)
    assert given_logits.tolist() == logits


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_only_allowed_tokens_are_drawn(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    logits = np.array(data.draw(st.lists(st.floats(-50, 50) | st.just(-math.inf), min_size=size, max_size=size)))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    place = data.draw(st.integers(0, size - 1))
    logits[data.draw(st.integers(0, size - 1))], allowed[place] = 1.0, True
    sampling = Sampling(
        temperature=data.draw(st.sampled_from([0.0, 0.3, 2.0])),
        top_k=data.draw(st.sampled_from([0, 3])),
        top_p=data.draw(st.sampled_from([0.5, 1.0])),
        seed=1,
        logit_bias={0: -3.0},
    )
    picked = {Sampler(sampling).pick(logits, allowed=allowed) for _ in range(3)}
    assert all(allowed[id_] for id_ in picked)


def test_a_mask_that_allows_nothing_or_fits_nothing_is_refused() -> None:
    for mask in (np.zeros(200, bool), np.ones(199, bool)):
        with pytest.raises(UsageError, match=r"allowed|mask"):
            Sampler(Sampling()).pick(LOGITS, allowed=mask)
    with pytest.raises(UsageError, match="token 200"):
        Sampler(Sampling(logit_bias={200: 1})).pick(LOGITS)


def test_a_sampling_can_be_hashed_whatever_its_bias_came_as() -> None:
    assert hash(Sampling(logit_bias={5: 1.0, 2: 3})) == hash(Sampling(logit_bias=((2, 3), (5, 1.0))))


def test_softmax_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([1e5, 1e5])), [0.5, 0.5])


def test_defaults_come_from_the_generation_config() -> None:
    config = {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.95, "eos_token_id": 1}
    assert Sampling.from_generation_config(config) == Sampling(temperature=0.7, top_k=20, top_p=0.95)
    assert Sampling.from_generation_config({}).greedy
    assert Sampling.from_generation_config({"top_k": None, "do_sample": True}) == Sampling(top_k=50), "as transformers fills in"
    assert Sampling.from_generation_config({"top_k": 0, "do_sample": True}) == Sampling()
    with pytest.raises(BundleError, match="generation_config"):
        Sampling.from_generation_config({"top_p": 3})


def test_what_the_caller_chooses_wins() -> None:
    greedy, sampled = Sampling(greedy=True), Sampling(temperature=0.7, top_k=20)
    assert greedy.override().greedy
    assert greedy.override(temperature=0.5) == Sampling(temperature=0.5)
    assert sampled.override(greedy=True).deterministic
    assert sampled.override(top_k=0, seed=4) == Sampling(temperature=0.7, seed=4)
    with pytest.raises(UsageError, match="top_p, seed"):
        sampled.override(greedy=True, top_p=0.5, seed=1)
    with pytest.raises(UsageError, match="temperature"):
        sampled.override(temperature=-1)
