"""Sums, differences, products and quotients of whole numbers, digit by digit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import work
from youtu_onnx.problems.nano.arithmetic import PHRASES, number, quotient
from youtu_onnx.problems.problem import Problem

FAMILY = "arithmetic"
KINDS = ("add", "subtract", "multiply", "divide")
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
STATEMENT = re.compile(r"(\d+)([-+*/])(\d+)")

# Digits of both numbers by level: (most of the first, most of the second).
DIGITS = {
    "add": ((2, 2), (3, 3), (4, 4), (5, 5)),
    "subtract": ((2, 2), (3, 3), (4, 4), (5, 5)),
    "multiply": ((2, 1), (3, 1), (3, 2), (4, 2)),
    "divide": ((2, 1), (3, 1), (4, 1), (5, 1)),
}


def operands(rng: Random, kind: str, level: int) -> tuple[int, int]:
    """Numbers of a level: of all lengths up to its own in training, one at least of full length beyond it."""
    most = DIGITS[kind][level - 1]
    lengths = [rng.randint(max(1, d - 1), d) for d in most] if level < 4 else list(most)
    a, b = (number(rng, d) for d in lengths)
    if kind == "divide":
        return a, max(b, 2)
    if kind == "subtract" and a < b and rng.random() < 0.9:
        return b, a
    return a, b


def lines(kind: str, a: int, b: int) -> list[str]:
    statement = f"{a}{SIGNS[kind]}{b}"
    if kind == "add":
        return [work.add(a, b)]
    if kind == "subtract":
        return [work.subtract(a, b)] if a >= b else [statement, work.subtract(b, a), f"{statement}={a - b}"]
    if kind == "divide":
        return [work.divide(a, b)]
    if b < 10:
        return [work.multiply(a, b)]
    return [statement, *work.long_multiply(a, b)]


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    a, b = operands(rng, kind, level)
    answers = {"add": a + b, "subtract": a - b, "multiply": a * b}
    answer = quotient(a, b, language) if kind == "divide" else str(answers[kind])
    prompt = rng.choice(PHRASES[kind][language]).format(a=a, b=b)
    return Problem(FAMILY, kind, language, f"{kind}:{a}:{b}", prompt, "\n".join(lines(kind, a, b)), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.match(written[0])
    if not found:
        raise ValueError(f"no operation in {written[0]!r}")
    a, sign, b = int(found[1]), found[2], int(found[3])
    kind = next(kind for kind, s in SIGNS.items() if s == sign)
    expected = lines(kind, a, b)
    for index, line in enumerate(written):
        # The partial products come in one order, but one that is true and of this problem counts wherever it stands.
        yield line == written[0] == expected[0] if index == 0 else line in expected and work.is_work(line)
    if kind == "divide":
        yield answer in {quotient(a, b, language) for language in ("en", "zh")}
    else:
        yield answer == str({"+": a + b, "-": a - b, "*": a * b}[sign]) and written[-1] == expected[-1]
