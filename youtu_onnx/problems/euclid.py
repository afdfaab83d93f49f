"""Greatest common divisors by Euclid's algorithm, and least common multiples by them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import work
from youtu_onnx.problems.problem import Problem
from youtu_onnx.problems.steps import holds

FAMILY = "gcd"
KINDS = ("gcd", "gcd", "lcm")
STATEMENT = re.compile(r"(gcd|lcm)\((\d+),(\d+)\)")
LARGEST = {"gcd": (30, 99, 200, 600), "lcm": (12, 20, 30, 50)}

PHRASES = {
    "gcd": {
        "en": [
            "What is the greatest common divisor of {a} and {b}?",
            "Find the gcd of {a} and {b}.",
            "gcd({a}, {b}) = ?",
            "What is the highest common factor of {a} and {b}?",
            "Compute the greatest common factor of {a} and {b}.",
        ],
        "zh": ["{a}和{b}的最大公约数是多少？", "求{a}与{b}的最大公因数。", "计算gcd({a}, {b})。", "{a}和{b}的最大公因数是几？"],
    },
    "lcm": {
        "en": [
            "What is the least common multiple of {a} and {b}?",
            "Find the lcm of {a} and {b}.",
            "lcm({a}, {b}) = ?",
            "Compute the lowest common multiple of {a} and {b}.",
        ],
        "zh": ["{a}和{b}的最小公倍数是多少？", "求{a}与{b}的最小公倍数。", "计算lcm({a}, {b})。"],
    },
}


def euclid(a: int, b: int) -> list[str]:
    """Divisions until nothing is left, the larger number first; a line each: quotient, product, remainder."""
    a, b = max(a, b), min(a, b)
    lines = []
    while b:
        lines.append(division(a, b))
        a, b = b, a % b
    return lines


def division(a: int, b: int) -> str:
    """Quotient, product and what is left, in one step where the product is small."""
    q, r = divmod(a, b)
    if q * b <= 20:
        return f"{a}/{b}={q}r{r}"
    left = f"{a}-{q * b}={r}" if a < 100 else work.subtract(a, q * b)
    return f"{a}/{b}:{q}*{b}={q * b};{left};{q}r{r}"


def lines(kind: str, a: int, b: int) -> list[str]:
    common = math.gcd(a, b)
    out = [f"{kind}({a},{b})", *euclid(a, b)]
    if kind == "lcm":
        out += [f"gcd={common}", f"{a}/{common}={a // common}"]
        first, second = a // common, b
        out += [work.multiply(first, second)] if min(first, second) < 10 else work.long_multiply(first, second)
    return out


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    most = LARGEST[kind][level - 1]
    low = LARGEST[kind][level - 2] if level == 4 else 2
    if rng.random() < 0.75:  # random pairs are mostly coprime
        factor = rng.randint(2, max(2, most // 4))
        a, b = (factor * rng.randint(1, most // factor) for _ in range(2))
    else:
        a, b = rng.randint(2, most), rng.randint(2, most)
    if level == 4 and max(a, b) <= low:
        a = rng.randint(low + 1, most)
    answer = math.gcd(a, b) if kind == "gcd" else math.lcm(a, b)
    prompt = rng.choice(PHRASES[kind][language]).format(a=a, b=b)
    key = f"{kind}:{min(a, b)}:{max(a, b)}"
    return Problem(FAMILY, kind, language, key, prompt, "\n".join(lines(kind, a, b)), str(answer))


DIVISION = re.compile(r"(\d+)/(\d+)[=:].*")


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    kind, a, b = found[1], int(found[2]), int(found[3])
    yield True
    large, small, index = max(a, b), min(a, b), 1
    while small:
        step = DIVISION.fullmatch(written[index])
        yield step is not None and (int(step[1]), int(step[2])) == (large, small) and written[index] == division(large, small)
        large, small, index = small, large % small, index + 1
    if kind == "gcd":
        for _ in written[index:]:
            yield False
        yield answer == str(math.gcd(a, b))
        return
    for line in written[index:]:
        yield line == f"gcd={large}" or (line in lines(kind, a, b) and (work.is_work(line) or holds(line)))
    yield answer == str(math.lcm(a, b)) and re.split("[=;]", written[-1])[-1] == answer
