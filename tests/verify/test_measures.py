"""Measures of difference, and the gates that they must pass: what is right passes, what is wrong fails at every precision."""

from __future__ import annotations

import math

import numpy as np
import pytest

from youtu_onnx.core.recipe import PRECISIONS
from youtu_onnx.verify.difference import Difference, centre, compare
from youtu_onnx.verify.parity import Parity, PromptParity

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(20, 500)).astype(np.float32) * 3


def difference(other: np.ndarray, reference: np.ndarray = LOGITS) -> Difference:
    return compare(reference, other.astype(np.float32), centre(reference))


# Measures


def test_equal_logits_do_not_differ() -> None:
    found = difference(LOGITS)
    assert (found.max_abs, found.relative_error, found.mean_kl, found.kl_share) == (0, 0, 0, 0)
    assert found.top1 == found.decided_top1 == 1
    assert found.correlation == pytest.approx(1)
    assert found.positions == 20


def test_a_constant_added_to_all_logits_costs_nothing() -> None:
    found = difference(LOGITS + 5)
    assert found.max_abs == pytest.approx(5, abs=1e-5)
    assert found.relative_error < 1e-6
    assert found.mean_kl < 1e-10


def test_knowing_nothing_loses_all_information() -> None:
    found = difference(np.zeros_like(LOGITS))
    assert found.kl_share == pytest.approx(1)
    assert found.relative_error == pytest.approx(1)
    assert abs(found.correlation) < 1e-9


def test_unrelated_logits_lose_more_than_all() -> None:
    found = difference(RANDOM.permuted(LOGITS, axis=1))
    assert found.kl_share > 1.5
    assert found.relative_error == pytest.approx(math.sqrt(2), abs=0.1)
    assert abs(found.correlation) < 0.1


def test_correlation_is_blind_to_what_all_positions_share() -> None:
    shared = LOGITS + 10 * RANDOM.normal(size=500)
    found = compare(shared, np.roll(shared, 1, 0), centre(shared))
    assert found.relative_error < 0.5
    assert abs(found.correlation) < 0.15


def test_kl_is_that_of_the_definition() -> None:
    other = LOGITS + RANDOM.normal(size=LOGITS.shape)
    p, q = (np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(1, keepdims=True) for x in (LOGITS, other))
    expected = (p * np.log(p / q)).sum(1)
    found = difference(other)
    assert found.mean_kl == pytest.approx(expected.mean(), rel=1e-4)
    assert found.max_kl == pytest.approx(expected.max(), rel=1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_bad_number_spoils_every_error(value: float) -> None:
    other = LOGITS.copy()
    other[3, 7] = value
    found = difference(other)
    assert all(math.isnan(x) for x in (found.max_abs, found.relative_error, found.mean_kl, found.max_kl, found.correlation))
    assert found.to_dict()["mean_kl"] is None, "JSON has no NaN"


def test_differences_add_up() -> None:
    other = LOGITS + RANDOM.normal(size=LOGITS.shape).astype(np.float32)
    around = centre(LOGITS)
    parts = compare(LOGITS[:7], other[:7], around) + compare(LOGITS[7:], other[7:], around)
    assert parts.to_dict() == compare(LOGITS, other, around).to_dict()


def test_choices_within_float32_rounding_are_one_choice() -> None:
    reference = np.array([[10.0, 10.0 - 1e-4, 0, 0]], np.float32)
    found = compare(reference, reference[:, [1, 0, 2, 3]], centre(reference))
    assert found.top1 == 1
    assert found.decided == 0


# Gates


def parity(precision: str, found: Difference, graph: Difference | None = None) -> Parity:
    paths = {"prefill": found, "decode": found}
    prompts = (PromptParity("", 20, paths, paths if graph is None else {"prefill": graph}, 20, 20),)
    return Parity(precision, "cpu", prompts, None, None)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "logits",
    [
        LOGITS * 0,
        -LOGITS,
        RANDOM.permuted(LOGITS, axis=1),
        np.roll(LOGITS, 1, 0),
        np.roll(LOGITS, 1, 1),
        LOGITS * math.nan,
    ],
    ids=["zeros", "negated", "unrelated", "next position's", "next token's", "NaN"],
)
def test_garbage_fails_every_gate(precision: str, logits: np.ndarray) -> None:
    assert not parity(precision, difference(logits)).passed


@pytest.mark.parametrize(("precision", "noise"), [("fp32", 1e-5), ("fp16", 3e-3), ("int8", 0.03), ("int4", 0.03)])
def test_each_gate_lets_rounding_of_its_precision_pass(precision: str, noise: float) -> None:
    found = parity(precision, difference(LOGITS + noise * RANDOM.normal(size=LOGITS.shape)))
    assert found.passed, found.faults
    coarser = parity(precision, difference(LOGITS + 40 * noise * RANDOM.normal(size=LOGITS.shape)))
    assert not coarser.passed


def test_an_unsure_reference_binds_the_graph_but_not_the_weights() -> None:
    """Random weights of full size: int4 loses most of the little that they say (see youtu_onnx/verify/parity.py)."""
    flat = LOGITS / 6
    coarse = difference(flat + flat.std() * 1.2 * RANDOM.normal(size=flat.shape), flat)
    right = difference(flat + flat.std() * 0.05 * RANDOM.normal(size=flat.shape), flat)
    assert coarse.kl_share > 0.5
    found = parity("int4", coarse, graph=right)
    assert not found.confident
    assert found.passed, found.faults
    assert not parity("int4", coarse, graph=coarse).passed


def test_a_confident_reference_binds_the_weights_too() -> None:
    sharp = LOGITS * 3
    coarse = difference(sharp + sharp.std() * RANDOM.normal(size=sharp.shape), sharp)
    found = parity("int4", coarse, graph=difference(sharp, sharp))
    assert found.confident
    assert any("checkpoint's weights" in fault for fault in found.faults)


def test_nothing_compared_is_not_passed() -> None:
    assert not Parity("int4", "cpu", (), None, None).passed
