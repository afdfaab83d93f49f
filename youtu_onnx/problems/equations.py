"""Linear equations in one unknown, solved line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "equation"
KINDS = ("one_step", "two_step", "both_sides", "bracket")
STATEMENT = re.compile(r"solve ([a-z]):(.+)")
FACTOR, SOLUTION = (5, 9, 9, 20), (9, 12, 20, 50)

PHRASES = {
    "en": [
        "Solve {e}.",
        "Solve for {x}: {e}",
        "What is {x} if {e}?",
        "Find {x}: {e}",
        "{e}. What is {x}?",
        "If {e}, what is the value of {x}?",
    ],
    "zh": ["解方程{e}。", "已知{e}，求{x}。", "求{x}：{e}", "如果{e}，{x}等于多少？", "解方程：{e}"],
}


def side(factor: int, x: str, constant: int) -> str:
    """ "3x-4", "-x+2", "5", "2x"."""
    if factor == 0:
        return str(constant)
    term = {1: x, -1: f"-{x}"}.get(factor, f"{factor}{x}")
    return term + (f"{constant:+d}" if constant else "")


def ending(a: int, x: str, right: int) -> list[str]:
    """From ax=right to x."""
    if a == 1:
        return []
    return [f"{x}={right}/{a}" if a > 0 else f"{x}={right}/({a})", f"{x}={right // a}"]


def solution(a: int, x: str, b: int, c: int, d: int) -> list[str]:
    """The lines after ax+b=cx+d: terms in x to the left, numbers to the right, one sum each."""
    out = []
    if c or b:
        left = side(a, x, 0) + (f"{'-' if c > 0 else '+'}{side(abs(c), x, 0)}" if c else "")
        out.append(f"{left}={d}" + (f"{-b:+d}" if b else ""))
        out.append(f"{side(a - c, x, 0)}={d - b}")
    return out + ending(a - c, x, d - b)


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS if level > 1 else KINDS[:2])
    x = rng.choice("xxxynatz")
    most = FACTOR[level - 1]
    value = rng.randint(1 if level == 1 else -SOLUTION[level - 1], SOLUTION[level - 1])
    a, c = rng.randint(2 if level < 4 else 10, most), 0
    b = rng.randint(1, 20 if level > 1 else 9) * (rng.choice((1, -1)) if level > 1 else 1)
    if kind == "one_step":
        a, b = (a, 0) if rng.random() < 0.5 else (1, b)
    if kind == "both_sides":
        c = rng.choice([n for n in range(2, most + 1) if n != a])
    if kind == "bracket":
        b = rng.choice([n for n in range(-9, 10) if n])
        shown = f"{a}({x}{b:+d})={a * (value + b)}"
        steps = [f"{side(a, x, a * b)}={a * (value + b)}", *solution(a, x, a * b, 0, a * (value + b))]
    else:
        d = a * value + b - c * value
        shown = f"{side(a, x, b)}={side(c, x, d)}"
        steps = solution(a, x, b, c, d)
    asked = re.sub(r"(?<=[\w)])([-+=])", r" \1 ", shown) if rng.random() < 0.5 else shown
    prompt = rng.choice(PHRASES[language]).format(e=asked, x=x)
    key = f"equation:{shown.replace(x, 'x')}"
    return Problem(FAMILY, kind, language, key, prompt, "\n".join([f"solve {x}:{shown}", *steps]), f"{x} = {value}")


def linear(text: str, x: str) -> tuple[Fraction, Fraction]:
    """(factor, constant) of a sum of terms like 3x, -x, 7, 12/(-3), and of a(x+b). Raises ValueError for another form."""
    bracket = re.fullmatch(rf"(-?\d+)\({x}([-+]\d+)\)", text)
    if bracket:
        return Fraction(int(bracket[1])), Fraction(int(bracket[1]) * int(bracket[2]))
    quotient = re.fullmatch(r"(-?\d+)/(\d+|\(-\d+\))", text)
    if quotient:
        return Fraction(0), Fraction(int(quotient[1]), int(quotient[2].strip("()")))
    if not re.fullmatch(rf"[-+]?(\d*{x}|\d+)([-+](\d*{x}|\d+))*", text):
        raise ValueError(f"not a linear expression in {x}: {text!r}")
    factor, constant = Fraction(0), Fraction(0)
    for sign, number, unknown in re.findall(rf"([-+]?)(\d*)({x}?)", text):
        if not number and not unknown:
            continue
        amount = Fraction(f"{sign}{number or 1}")
        factor, constant = (factor + amount, constant) if unknown else (factor, constant + amount)
    return factor, constant


def root(equation: str, x: str) -> Fraction:
    """The solution. Raises ValueError where there isn't exactly one."""
    left, right = equation.split("=")
    (a, b), (c, d) = linear(left, x), linear(right, x)
    if a == c:
        raise ValueError(f"no single solution: {equation!r}")
    return (d - b) / (a - c)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    x, value = found[1], root(found[2], found[1])
    yield True
    seen = {found[2]}
    for line in written[1:]:
        yield line not in seen and root(line, x) == value
        seen.add(line)
    last = written[-1].split(":")[-1]
    left = f"{x}={answer.removeprefix(f'{x} = ')}"
    yield answer.startswith(f"{x} = ") and root(left, x) == value and last == left
