"""Roman numerals: written, read and added.

    1994:1000=M,900=CM,90=XC,4=IV;MCMXCIV        MCMXCIV:M=1000,CM=900,XC=90,IV=4;1994

One place at a time, from the left; a sum reads both numerals, adds as `work` does, and writes the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import work
from youtu_onnx.problems.problem import Problem

FAMILY = "roman"
KINDS = ("to_roman", "from_roman", "roman_sum")
LIMITS = (39, 399, 1999, 3999)
"""The largest number of a level, sums included; training sees no thousands beyond one."""
PLACES = ("I V X", "X L C", "C D M", "M")
"""One, five and ten of each place, from the right."""
NUMERAL = r"(?=[IVXLCDM])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
STATEMENT = re.compile(rf"roman:(?:([1-9]\d{{0,3}})|({NUMERAL})(?:\+({NUMERAL}))?)")

PHRASES = {
    "to_roman": {
        "en": ["Write {n} in Roman numerals.", "What is {n} as a Roman numeral?", "Convert {n} to Roman numerals."],
        "zh": ["把{n}写成罗马数字。", "{n}的罗马数字是什么？", "将{n}转换为罗马数字。"],
    },
    "from_roman": {
        "en": ["What number is {a}?", "What is the Roman numeral {a} in digits?", "Read the Roman numeral {a}."],
        "zh": ["罗马数字{a}是多少？", "把罗马数字{a}写成数字。", "{a}表示哪个数？"],
    },
    "roman_sum": {
        "en": ["What is {a} + {b}?", "Add {a} and {b}. Answer in Roman numerals.", "Find the sum of {a} and {b}."],
        "zh": ["{a}+{b}等于多少？", "求{a}与{b}的和，用罗马数字回答。", "计算{a} + {b}。"],
    },
}


def _places() -> dict[int, str]:
    """The numeral of every digit in every place: 900 is CM."""
    found: dict[int, str] = {}
    for place, letters in enumerate(PLACES):
        one, five, ten = [*letters.split(), "", ""][:3]
        forms = ("", one, 2 * one, 3 * one, one + five, five, five + one, five + 2 * one, five + 3 * one, one + ten)
        found |= {digit * 10**place: form for digit, form in enumerate(forms) if digit and (five or digit < 4)}
    return found


OF_PLACE = _places()


def parts(n: int) -> list[int]:
    """A number by its digits, from the left, without zeros: 1904 is 1000, 900 and 4."""
    return [int(digit) * 10**place for place, digit in zip(range(len(str(n)) - 1, -1, -1), str(n), strict=True) if digit != "0"]


def numeral(n: int) -> str:
    """Raises KeyError beyond 3999."""
    return "".join(OF_PLACE[part] for part in parts(n))


def writing(n: int) -> str:
    """The line that makes a numeral."""
    return f"{n}:{','.join(f'{part}={OF_PLACE[part]}' for part in parts(n))};{numeral(n)}"


def number(text: str) -> int:
    """Reads a numeral, place by place. Raises ValueError for what is none."""
    if not re.fullmatch(NUMERAL, text):
        raise ValueError(f"no Roman numeral: {text!r}")
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    worth = [values[letter] for letter in text]
    return sum(-one if one < after else one for one, after in zip(worth, [*worth[1:], 0], strict=True))


def reading(text: str) -> str:
    """The line that reads a numeral."""
    n = number(text)
    return f"{text}:{','.join(f'{OF_PLACE[part]}={part}' for part in parts(n))};{n}"


def solve(statement: re.Match[str]) -> tuple[list[str], str]:
    """The lines after a statement, and the answer. Raises KeyError where a number has no numeral."""
    if statement[1]:
        n = int(statement[1])
        return [writing(n)], numeral(n)
    first = number(statement[2])
    if not statement[3]:
        return [reading(statement[2])], str(first)
    second = number(statement[3])
    total = first + second
    lines = [reading(statement[2]), reading(statement[3]), work.add(first, second), writing(total)]
    return lines, numeral(total)


def generate(rng: Random, language: str, level: int) -> Problem:
    kind, most = rng.choice(KINDS), LIMITS[level - 1]
    least = LIMITS[level - 2] + 1 if level == 4 else 1
    if kind == "roman_sum":
        total = rng.randint(max(2, least), most)
        first = rng.randint(max(1, total - LIMITS[2]), min(total - 1, LIMITS[2]))
        a, b = numeral(first), numeral(total - first)
        key, stated = f"roman:{first}+{total - first}", f"{a}+{b}"
    else:  # a number that is held out is unseen both ways
        n = rng.randint(least, most)
        a, b, key = numeral(n), "", f"roman:{n}"
        stated = str(n) if kind == "to_roman" else a
    statement = STATEMENT.fullmatch(f"roman:{stated}")
    assert statement is not None
    lines, answer = solve(statement)
    prompt = rng.choice(PHRASES[kind][language]).format(n=stated, a=a, b=b)
    return Problem(FAMILY, kind, language, key, prompt, "\n".join([statement[0], *lines]), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    expected, right = solve(found)
    yield True
    for at, line in enumerate(written[1:]):
        yield at < len(expected) and line == expected[at]
    yield len(written) == len(expected) + 1 and answer == right
