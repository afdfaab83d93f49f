"""Numbers written in another base, by repeated division, and read from one, by Horner's rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import work
from youtu_onnx.problems.problem import Problem

FAMILY = "base"
KINDS = ("to_base", "from_base")
STATEMENT = re.compile(r"(\d+) to base (\d+)|([0-9A-F]+) from base (\d+)")
LARGEST = (31, 127, 255, 1023)
BASES = (2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 16)
DIGITS = "0123456789ABCDEF"
NAMES = {2: ("binary", "二进制"), 8: ("octal", "八进制"), 16: ("hexadecimal", "十六进制")}
HAN = "零一二三四五六七八九"

PHRASES = {
    "to_base": {
        "en": ["Convert {n} to {base}.", "Write {n} in {base}.", "What is {n} in {base}?", "Express the number {n} in {base}."],
        "zh": ["把{n}转换成{base}。", "{n}用{base}怎么写？", "将十进制数{n}写成{base}数。", "{n}的{base}是多少？"],
    },
    "from_base": {
        "en": [
            "Convert {d} from {base} to decimal.",
            "What is the {base} number {d} in decimal?",
            "The number {d} is in {base}. What is it in base 10?",
        ],
        "zh": ["把{base}数{d}转换成十进制。", "{base}的{d}等于十进制的多少？", "{base}数{d}用十进制怎么写？"],
    },
}


def written_in(n: int, base: int) -> str:
    out = ""
    while n or not out:
        n, digit = divmod(n, base)
        out = DIGITS[digit] + out
    return out


def base_name(rng: Random, base: int, language: str) -> str:
    if base in NAMES and rng.random() < 0.5:
        return NAMES[base][0 if language == "en" else 1]
    return f"base {base}" if language == "en" else f"{base}进制" if base > 9 or rng.random() < 0.5 else f"{HAN[base]}进制"


def divisions(n: int, base: int) -> list[str]:
    """A line a digit, the last digit first."""
    lines = []
    while True:
        q, r = divmod(n, base)
        lines.append(work.long_divide(n, base) + (f",{r}={DIGITS[r]}" if r > 9 else ""))
        if q == 0:
            return lines
        n = q


def horner(digits: str, base: int) -> list[str]:
    """A line a digit from the left: what is there times the base, plus the digit."""
    total = DIGITS.index(digits[0])
    lines = [f"{digits[0]}={total}" if total > 9 else f"{total}"]
    for digit in digits[1:]:
        place = DIGITS.index(digit)
        name = f"{digit}={place}," if place > 9 else ""
        lines.append(name + work.multiply_add(total, base, place))
        total = total * base + place
    return lines


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    n = rng.randint(LARGEST[level - 2] + 1 if level == 4 else 1, LARGEST[level - 1])
    base = rng.choice(BASES)
    digits, name = written_in(n, base), base_name(rng, base, language)
    prompt = rng.choice(PHRASES[kind][language]).format(n=n, d=digits, base=name)
    if kind == "to_base":
        thought, answer = [f"{n} to base {base}", *divisions(n, base)], digits
    else:
        thought, answer = [f"{digits} from base {base}", *horner(digits, base)], str(n)
    return Problem(FAMILY, kind, language, f"{kind}:{n}:{base}", prompt, "\n".join(thought), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    base = int(found[2] or found[4])
    if not 2 <= base <= len(DIGITS):
        raise ValueError(f"no base: {base}")
    yield True
    if found[1]:
        n = int(found[1])
        expected = divisions(n, base)
        for at, line in enumerate(written[1:]):
            yield at < len(expected) and line == expected[at]
        yield len(written) == len(expected) + 1 and answer == written_in(n, base)
        return
    expected = horner(found[3], base)
    for at, line in enumerate(written[1:]):
        yield at < len(expected) and line == expected[at]
    yield len(written) == len(expected) + 1 and answer == str(int(found[3], base))
