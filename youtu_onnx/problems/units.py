"""Lengths, weights, times, volumes and money in other units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import work
from youtu_onnx.problems.problem import Problem

FAMILY = "unit"
KINDS = ("down", "up", "sum")
# (large, small, how many small make a large), with the names in Chinese.
UNITS = (
    ("km", "m", 1000, "千米", "米"),
    ("m", "cm", 100, "米", "厘米"),
    ("cm", "mm", 10, "厘米", "毫米"),
    ("kg", "g", 1000, "千克", "克"),
    ("t", "kg", 1000, "吨", "千克"),
    ("l", "ml", 1000, "升", "毫升"),
    ("hours", "minutes", 60, "小时", "分钟"),
    ("minutes", "seconds", 60, "分钟", "秒"),
    ("days", "hours", 24, "天", "小时"),
    ("weeks", "days", 7, "星期", "天"),
    ("years", "months", 12, "年", "个月"),
    ("dozen", "pieces", 12, "打", "个"),
    ("dollars", "cents", 100, "元", "分"),
    ("feet", "inches", 12, "英尺", "英寸"),
)
STATEMENT = re.compile(r"(down|up|sum) (?:(\d+) (\S+) )?(\d+) (\S+?)(?:\+(\d+) \3 (\d+) \5)?:1 (\S+)=(\d+) (\S+)")
LARGEST = (9, 20, 60, 300)

PHRASES = {
    "down": {
        "en": ["How many {s} are {x}?", "Convert {x} to {s}.", "What is {x} in {s}?", "Express {x} in {s}."],
        "zh": ["{x}等于多少{s}？", "把{x}换算成{s}。", "{x}是多少{s}？"],
    },
    "up": {
        "en": ["Write {x} in {l} and {s}.", "Convert {x} to {l} and {s}.", "How many {l} and {s} are {x}?"],
        "zh": ["{x}等于几{l}几{s}？", "把{x}写成{l}和{s}。", "{x}换算成{l}和{s}是多少？"],
    },
    "sum": {
        "en": ["What is {x} plus {y} in {l} and {s}?", "Add {x} and {y}.", "How much is {x} and {y} together?"],
        "zh": ["{x}加{y}等于几{l}几{s}？", "{x}与{y}一共是多少？", "把{x}和{y}加起来。"],
    },
}


def amount(numbers: Sequence[int], names: tuple[str, str], space: str) -> str:
    """ "3 km 250 m" of (3, 250), "3千米250米" without space; a part that is 0 is left out."""
    parts = [f"{n}{space}{name}" for n, name in zip(numbers, names, strict=True) if n]
    return (" " if space else "").join(parts) or f"0{space}{names[1]}"


def product(large: int, factor: int) -> list[str]:
    easy = min(large, factor) < 10 or max(large, factor) <= 12 or str(factor).strip("0") == "1"
    return [work.multiply(large, factor)] if easy else work.long_multiply(large, factor)


def statement_of(kind: str, numbers: Sequence[int], large: str, small: str, factor: int) -> str:
    rate = f":1 {large}={factor} {small}"
    if kind == "down":
        return f"down {numbers[0]} {large} {numbers[1]} {small}{rate}"
    if kind == "up":
        return f"up {numbers[0]} {small}{rate}"
    a, b, c, d = numbers
    return f"sum {a} {large} {b} {small}+{c} {large} {d} {small}{rate}"


def solve(kind: str, numbers: Sequence[int], factor: int) -> tuple[list[str], int, int]:
    """Lines and the result as (large, small); for `down` large is 0."""
    if kind == "down":
        large, small = numbers
        total = large * factor + small
        whole = large * factor
        easy = f"{whole}+{small}={total}" if str(factor).strip("0") == "1" else work.add(whole, small)
        return [*product(large, factor), *([easy] if small else [])], 0, total
    if kind == "up":
        q, r = divmod(numbers[0], factor)
        return [work.long_divide(numbers[0], factor)], q, r
    a, b, c, d = numbers
    q, r = divmod(b + d, factor)
    return [f"{b}+{d}={b + d}", work.long_divide(b + d, factor), f"{a}+{c}+{q}={a + c + q}"], a + c + q, r


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    large, small, factor, *chinese = rng.choice(UNITS)
    names = (large, small) if language == "en" else (chinese[0], chinese[1])
    space = " " if language == "en" else ""
    low = LARGEST[level - 2] + 1 if level == 4 else 1
    count = rng.randint(low, LARGEST[level - 1])
    rest = rng.randint(1, factor - 1)
    if kind == "down":
        numbers = [count, rest if level > 1 and rng.random() < 0.6 else 0]
        shown, other = amount(numbers, names, space), ""
    elif kind == "up":
        numbers = [count * factor + (rest if rng.random() < 0.85 else 0)]
        shown, other = f"{numbers[0]}{space}{small if language == 'en' else names[1]}", ""
    else:
        numbers = [count, rest, rng.randint(1, LARGEST[level - 1]), rng.randint(1, factor - 1)]
        shown, other = amount(numbers[:2], names, space), amount(numbers[2:], names, space)
    lines, big, little = solve(kind, numbers, factor)
    prompt = rng.choice(PHRASES[kind][language]).format(x=shown, y=other, l=names[0], s=names[1])
    statement = statement_of(kind, numbers, large, small, factor)
    thought = "\n".join([statement, *lines])
    return Problem(FAMILY, kind, language, f"unit:{statement}", prompt, thought, amount((big, little), names, space))


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    kind, factor = found[1], int(found[9])
    unit = next((u for u in UNITS if (u[0], u[1], u[2]) == (found[8], found[10], factor)), None)
    numbers = [int(found[i]) for i in (2, 4, 6, 7) if found[i]]
    if unit is None or written[0] != statement_of(kind, numbers, unit[0], unit[1], factor):
        raise ValueError(f"no such unit: {written[0]!r}")
    expected, large, small = solve(kind, numbers, factor)
    yield True
    for line in written[1:]:
        yield line in expected and work.is_work(line)
    right = {amount((large, small), (unit[0], unit[1]), " "), amount((large, small), (unit[3], unit[4]), "")}
    yield answer in right and written[-1] == expected[-1]
