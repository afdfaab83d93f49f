"""What adapters are taught: answers by another computation, steps by the verifier, and that the base is never shown any."""

from __future__ import annotations

import re
from random import Random

import pytest

from tests.problems.test_bounds import HOSTILE, MOST_CALLS, calls_of
from youtu_onnx.explain.steps import checked
from youtu_onnx.problems import bounds, families
from youtu_onnx.problems.plug_ins import roman as roman_module
from youtu_onnx.problems.problem import LANGUAGES, Problem, is_held_out

LEVELS = (1, 2, 3, families.HARDER)
EACH = 60


def problems(family: str, level: int, count: int = EACH) -> list[Problem]:
    rng = Random(f"test {family} {level}")
    return [families.GENERATORS[family](rng, LANGUAGES[n % 2], level) for n in range(count)]


def in_roman(n: int) -> str:
    """Greedily, by values that fall."""
    worth = {"M": 1000, "CM": 900, "D": 500, "CD": 400, "C": 100, "XC": 90, "L": 50, "XL": 40, "X": 10, "IX": 9, "V": 5, "IV": 4}
    text = ""
    for letters, value in (worth | {"I": 1}).items():
        while n >= value:
            text, n = text + letters, n - value
    return text


def roman(problem: Problem) -> str:
    numbers = [int(n) for n in problem.key.removeprefix("roman:").split("+")]
    return str(numbers[0]) if problem.kind == "from_roman" else in_roman(sum(numbers))


def korvo(problem: Problem) -> str:
    """Signs as remainders of 3: two that are alike give the next one; of two that differ only * before -, and - before +, do."""
    row, count = ["*+-".index(sign) for sign in problem.key.removeprefix("korvo:")], 0
    while True:
        for at in range(len(row) - 1):
            left, right = row[at : at + 2]
            if left == right or (left, right) in ((0, 2), (2, 1)):
                new = (left + 1) % 3
                row[at : at + 2] = [new]
                count += 1
                break
        else:
            return str(count) if problem.kind == "korvo_moves" else "".join("*+-"[sign] for sign in row)


INDEPENDENT = {"roman": roman, "korvo": korvo}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("family", families.PLUGGED)
def test_answers_are_those_of_an_independent_computation_and_all_steps_valid(family: str, level: int) -> None:
    for problem in problems(family, level):
        assert INDEPENDENT[family](problem) == problem.answer, problem
        assert families.family_of(problem.thought) == family == problem.family
        verdict = families.verified(problem.thought, problem.answer or "")
        assert len(verdict) == problem.thought.count("\n") + 2 and all(step.valid for step in verdict), verdict


@pytest.mark.parametrize("family", families.PLUGGED)
def test_a_changed_sign_a_missing_step_and_a_wrong_answer_are_seen(family: str) -> None:
    rng = Random(f"spoil {family}")
    for problem in problems(family, 3):
        statement, *lines = problem.thought.split("\n")
        answer = problem.answer or ""
        assert not families.verified(problem.thought, f"{answer}7")[-1].valid
        assert not families.verified(problem.thought, "")[-1].valid
        if not lines:
            continue  # a row of korvo without a move
        assert not families.verified("\n".join([statement, *lines[:-1]]), answer)[-1].valid
        index = rng.randrange(len(lines))
        at = rng.choice([m.start() for m in re.finditer(r"[0-9A-Z*+-]", lines[index])])
        other = rng.choice([sign for sign in "123XVI*+-" if sign != lines[index][at]])
        lines[index] = lines[index][:at] + other + lines[index][at + 1 :]
        found = families.verified("\n".join([statement, *lines]), answer)
        assert found[0].valid and not found[1 + index].valid, lines


def test_every_number_has_the_numeral_that_another_way_gives() -> None:
    for n in range(1, 4000):
        text = in_roman(n)
        assert families.stated(f"roman:{text}") == ("roman", f"roman:{text}")
        assert roman_module.numeral(n) == text and roman_module.number(text) == n


@pytest.mark.parametrize(
    "text", ["roman:IIII", "roman:VX", "roman:", "roman:0", "roman:IC", "roman:MMMM", "roman:I+", "korvo end:*"]
)
def test_what_is_no_numeral_and_no_row_is_of_no_family(text: str) -> None:
    assert families.family_of(text) is None


def test_a_number_without_a_numeral_is_invalid() -> None:
    for statement in ("roman:4000", "roman:MMMCMXCIX+I"):
        assert not any(step.valid for step in families.verified(f"{statement}\n1", "MMMM"))


@pytest.mark.parametrize("family", families.PLUGGED)
def test_hostile_texts_are_little_work_and_never_an_error(family: str) -> None:
    more = ("korvo end:" + "*" * 380, "korvo end:" + "*" * 24 + "\n" + "\n".join(["1:**>+:*"] * bounds.LINES))
    more += ("roman:" + "MMMDCCCLXXXVIII+" * 20, "roman:" + "I" * 380, "roman:9999" + "\n9=IX" * bounds.LINES)
    for thought in (*HOSTILE.values(), *more):
        assert calls_of(thought, "42", family) < MOST_CALLS
        assert not families.verified(thought, "9" * 10_000, family)[-1].valid


@pytest.mark.parametrize("family", families.PLUGGED)
def test_honest_thoughts_are_far_within_bounds(family: str) -> None:
    for problem in problems(family, families.HARDER):
        lines = problem.thought.split("\n")
        assert 3 * len(lines) < bounds.LINES and 2 * max(map(len, lines)) < bounds.CHARACTERS
        assert all(map(bounds.readable, [*lines, problem.answer or ""]))


@pytest.mark.parametrize("family", families.PLUGGED)
def test_held_out_problems_are_fixed_by_the_seed_and_enough(family: str) -> None:
    found = families.held_out(family, 300, seed=4)
    assert found == families.held_out(family, 300, seed=4) != families.held_out(family, 300, seed=5)
    assert all(is_held_out(one.key) for one in found) and [one.language for one in found[:4]] == list(LANGUAGES) * 2
    asked = families.fresh(family, 7, 2, "zh")
    assert asked == families.fresh(family, 7, 2, "zh") and asked.language == "zh"


def test_they_are_not_among_the_families_of_the_base() -> None:
    assert not set(families.PLUGGED) & set(families.MEASURED) and families.PLUGGED == ("roman", "korvo")


@pytest.mark.parametrize("family", families.PLUGGED)
def test_explanations_know_their_notation(family: str) -> None:
    problem = families.fresh(family, 3, 2, "en")
    found = checked(problem.thought, problem.answer or "")
    assert found.family == family and found.sound == 1.0
