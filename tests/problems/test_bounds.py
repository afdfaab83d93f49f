"""Verifiers read texts that strangers send: whatever these say, little is computed."""

from __future__ import annotations

import sys
from collections import Counter
from random import Random
from types import FrameType
from typing import Any

import pytest

from youtu_onnx.problems import bounds, families
from youtu_onnx.problems.problem import LANGUAGES

MOST_CALLS = 100_000
"""Of functions, for one text: some ten milliseconds. An honest thought takes a few thousand at most."""
BIG = "9" * bounds.DIGITS
LOOPS = "|".join("." * 4 * depth + f"for {name} in range(99):" for depth, name in enumerate("abcdefgh"))

HOSTILE = {
    "a base of one": "5 to base 1\n5/1=5r0",
    "no base": "5 to base 0\n5/0=1",
    "digits of a base that has fewer": "FFFF from base 2\n15",
    "a loop without an end": f"run for i in range({BIG}):|....x=1|print(x)",
    "loops in loops": f"run {LOOPS}|{'.' * 32}x=1",
    "a number that doubles its digits": "run x=99999|" + "|".join(["x=x*x"] * 60) + "|print(x)",
    "brackets in brackets": "run x=" + "(" * 190 + "1" + ")" * 190,
    "calls in calls": "run print(" * 30,
    "rules without an end": "rules " + "aa>" * 130,
    "rules that could be cut anywhere": "rules " + "a>bbbbbbbb" * 39 + "|a|b|c",
    "claims without an end": "knights " + "A:" + "A" * 380 + "!",
    "a long formula": "eval " + "!" * 380 + "p:p=1",
    "days beyond the calendar": f"date 2000-01-01+{BIG}\n1+1=2",
    "days of all the calendar": "days 0001-01-01 9999-12-31\n1-1=0",
    "days backwards": "days 2000-01-01 1999-01-01\n1-1=0",
    "a long way": "maze " + "/".join(["0" * 19] * 17 + ["0" * 18 + "S", "G" + "0" * 18]),
    "a long number": f"{'9' * 5000}+1=1",
    "a product of long numbers": f"{BIG}*{BIG}\n" + "\n".join(f"{BIG}*9=1" for _ in range(bounds.LINES)),
    "a story of products": "story " + "*".join([BIG] * 9) + "\n" + "\n".join(["1*1=1"] * 100),
    "brackets of a story": "story " + "(" * 190 + "1" + ")" * 190,
    "towers": "story 9**9**9**9**9**9\n9**9=1",
    "many divisions": f"lcm({BIG},{'8' * bounds.DIGITS})\n" + "\n".join(["1/1=1"] * 300),
    "many numbers": "sort " + " ".join(["9 8 7 6"] * 49) + "\n" + "\n".join(["1 2 3"] * 300),
    "many lines": "12+30=42\n" * 4_000,
    "a long line": "12+30=42\n" + "1+1=2," * 100_000,
    "an equation of sides": "solve x:x=1\n" + "=".join(["x"] * 199),
    "nothing": "\n" * 8_000,
}  # fmt: skip


def calls_of(thought: str, answer: str, family: str | None = None) -> int:
    """Functions called, builtin ones included, to verify a text."""
    counts: Counter[str] = Counter()

    def count(frame: FrameType, event: str, arg: Any) -> None:
        counts[event] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        families.verified(thought, answer, family)
    finally:
        sys.setprofile(before)
    return counts["call"] + counts["c_call"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_little_work_and_never_an_error(name: str) -> None:
    thought = HOSTILE[name]
    for family in (None, *families.MEASURED):
        assert calls_of(thought, "42", family) < MOST_CALLS, family
        found = families.verified(thought, "9" * 10_000, family)
        assert not found or not found[-1].valid


def test_what_was_written_stays_in_the_steps_where_it_is_not_read() -> None:
    long = "1" * (bounds.CHARACTERS + 1)
    first, second, answer = families.verified(f"gcd(12,8)\n{long}", "4")
    assert (first.valid, second.text, second.valid, answer.text) == (True, long, False, "4")
    many = families.verified("\n".join(["gcd(12,8)", *["12/8=1r4"] * bounds.LINES]), "4")
    assert len(many) == bounds.LINES + 2 and many[1].valid and not many[-1].valid


@pytest.mark.parametrize("family", families.MEASURED)
def test_honest_thoughts_are_far_within_bounds(family: str) -> None:
    rng = Random(f"bounds {family}")
    for number in range(30):
        problem = families.GENERATORS[family](rng, LANGUAGES[number % 2], families.HARDER)
        lines = problem.thought.split("\n")
        assert 3 * len(lines) < bounds.LINES and 2 * max(map(len, lines)) < bounds.CHARACTERS
        assert all(map(bounds.readable, [*lines, problem.answer or ""]))


@pytest.mark.parametrize("family", families.MEASURED)
def test_a_fresh_problem_is_the_same_for_the_same_seed_and_states_itself(family: str) -> None:
    problem = families.fresh(family, 7, 2, "zh")
    assert problem == families.fresh(family, 7, 2, "zh") != families.fresh(family, 8, 2, "zh")
    assert problem.language == "zh"
    found = families.stated(problem.thought)
    assert found is not None and found[0] == family and problem.thought.startswith(found[1])


@pytest.mark.parametrize("family", families.MEASURED)
def test_what_is_said_of_a_line_doesn_t_hang_on_later_ones(family: str) -> None:
    """So that steps can be marked while they are written."""
    rng = Random(f"live {family}")
    for number in range(20):
        problem = families.GENERATORS[family](rng, LANGUAGES[number % 2], 3)
        lines = problem.thought.split("\n")
        if len(lines) > 2 and number % 2:  # a wrong one among them
            lines[rng.randrange(1, len(lines))] += "7"
        whole = families.verified("\n".join(lines), "")
        for end in range(1, len(lines) + 1):
            assert families.verified("\n".join(lines[:end]), "")[:end] == whole[:end]
