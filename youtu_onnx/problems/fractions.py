"""Fractions: lowest terms, the four operations, and which is larger."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random

from youtu_onnx.problems import work
from youtu_onnx.problems.euclid import DIVISION, division, euclid
from youtu_onnx.problems.problem import Problem
from youtu_onnx.problems.steps import holds

FAMILY = "fraction"
KINDS = ("simplify", "add", "subtract", "multiply", "divide", "compare")
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": ":"}
STATEMENT = re.compile(r"frac (\d+)/(\d+)(?:([-+*:?])(\d+)/(\d+))?")
LARGEST = (6, 9, 12, 20)

PHRASES = {
    "simplify": {
        "en": ["Simplify {p}.", "Reduce {p} to lowest terms.", "Write {p} in lowest terms.", "What is {p} in simplest form?"],
        "zh": ["化简{p}。", "把{p}化成最简分数。", "{p}约分后是多少？"],
    },
    "add": {
        "en": ["What is {p} + {q}?", "{p} + {q} = ?", "Add {p} and {q}.", "Compute {p} plus {q}."],
        "zh": ["{p}加{q}等于多少？", "计算{p}+{q}。", "{p} + {q} = ?"],
    },
    "subtract": {
        "en": ["What is {p} - {q}?", "{p} - {q} = ?", "Subtract {q} from {p}.", "Compute {p} minus {q}."],
        "zh": ["{p}减{q}等于多少？", "计算{p}-{q}。", "{p} - {q} = ?"],
    },
    "multiply": {
        "en": ["What is {p} * {q}?", "{p} × {q} = ?", "Multiply {p} by {q}.", "Compute {p} times {q}."],
        "zh": ["{p}乘以{q}等于多少？", "计算{p}×{q}。", "{p} * {q} = ?"],
    },
    "divide": {
        "en": ["What is {p} ÷ {q}?", "Divide {p} by {q}.", "Compute {p} divided by {q}."],
        "zh": ["{p}除以{q}等于多少？", "计算{p}÷{q}。", "{p} ÷ {q} = ?"],
    },
    "compare": {
        "en": ["Which is larger, {p} or {q}?", "Which fraction is bigger: {p} or {q}?"],
        "zh": ["{p}和{q}哪个大？", "比较{p}与{q}，哪个更大？"],
    },
}


def show(x: Fraction) -> str:
    return str(x.numerator) if x.denominator == 1 else f"{x.numerator}/{x.denominator}"


def times(a: int, b: int) -> list[str]:
    return [work.multiply(a, b)] if min(a, b) < 10 or max(a, b) <= 12 else work.long_multiply(a, b)


def reduction(top: int, bottom: int) -> list[str]:
    """From top/bottom to lowest terms: Euclid, then a division of each. `top` may be 0."""
    out = [f"{top}/{bottom}"]
    common = math.gcd(top, bottom)
    if top == 0 or bottom == 1:
        return out
    out += euclid(top, bottom)
    if common > 1:
        out += [f"{top}/{common}={top // common}", f"{bottom}/{common}={bottom // common}"]
    return out


def lines(kind: str, a: int, b: int, c: int, d: int) -> list[str]:
    if kind == "simplify":
        return [f"frac {a}/{b}", *reduction(a, b)[1:]]
    if kind == "compare":
        sign = "<" if a * d < c * b else ">" if a * d > c * b else "="
        return [f"frac {a}/{b}?{c}/{d}", *times(a, d), *times(c, b), f"{a * d}{sign}{c * b}"]
    out = [f"frac {a}/{b}{SIGNS[kind]}{c}/{d}"]
    if kind in ("multiply", "divide"):
        if kind == "divide":
            out.append(f"{a}/{b}*{d}/{c}")
            c, d = d, c
        return [*out, *times(a, c), *times(b, d), *reduction(a * c, b * d)]
    if b == d:
        top = a + c if kind == "add" else a - c
        return [*out, f"{a}{SIGNS[kind]}{c}={top}", *reduction(top, b)]
    first, second = a * d, c * b
    top = first + second if kind == "add" else first - second
    sums = work.add(first, second) if kind == "add" else work.subtract(first, second)
    return [*out, *times(a, d), *times(c, b), sums, *times(b, d), *reduction(top, b * d)]


def generate(rng: Random, language: str, level: int) -> Problem:
    kind, most = rng.choice(KINDS), LARGEST[level - 1]
    while True:
        b, d = (rng.randint(2 if level < 4 else 10, most) for _ in range(2))
        a, c = rng.randint(1, b - 1), rng.randint(1, d - 1)
        if kind == "simplify":
            factor = rng.randint(1, most)
            a, b = a * factor, b * factor
        p, q = Fraction(a, b), Fraction(c, d)
        if kind != "compare" or p != q:
            break
    if kind == "subtract" and p < q:
        a, b, c, d, p, q = c, d, a, b, q, p
    value = {"simplify": p, "add": p + q, "subtract": p - q, "multiply": p * q, "divide": p / q, "compare": max(p, q)}[kind]
    answer = show(value) if kind != "compare" else f"{a}/{b}" if p > q else f"{c}/{d}"
    prompt = rng.choice(PHRASES[kind][language]).format(p=f"{a}/{b}", q=f"{c}/{d}")
    operands = f"{a}/{b}" if kind == "simplify" else f"{a}/{b}:{c}/{d}"
    return Problem(FAMILY, kind, language, f"fraction:{kind}:{operands}", prompt, "\n".join(lines(kind, a, b, c, d)), answer)


def is_true(line: str) -> bool:
    """A step by itself: work, a division of Euclid's, or a comparison of two numbers."""
    found = DIVISION.fullmatch(line)
    if found and "r" in line:
        return line == division(int(found[1]), int(found[2]))
    compared = re.fullmatch(r"(\d+)([<=>])(\d+)", line)
    if compared:
        a, b = int(compared[1]), int(compared[3])
        return compared[2] == ("<" if a < b else ">" if a > b else "=")
    return work.is_work(line) or holds(line)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    a, b = int(found[1]), int(found[2])
    c, d = (int(found[4]), int(found[5])) if found[3] else (1, 1)
    kind = {"+": "add", "-": "subtract", "*": "multiply", ":": "divide", "?": "compare", None: "simplify"}[found[3]]
    expected = lines(kind, a, b, c, d)
    p, q = Fraction(a, b), Fraction(c, d)
    yield True
    for line in written[1:]:
        bare = re.fullmatch(r"\d+/\d+(\*\d+/\d+)?", line)  # the fraction so far, or the division turned round
        yield line in expected and (bare is not None or is_true(line))
    if kind == "compare":
        yield p != q and answer == (f"{a}/{b}" if p > q else f"{c}/{d}") and written[-1] == expected[-1]
        return
    value = {"simplify": p, "add": p + q, "subtract": p - q, "multiply": p * q, "divide": p / q}[kind]
    yield answer == show(value) and written[-1] == expected[-1]
