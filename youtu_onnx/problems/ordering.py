"""Sorting by insertion, the largest and the smallest of a list, and comparing numbers digit by digit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from random import Random

from youtu_onnx.problems.nano.lists import PHRASES as LISTS
from youtu_onnx.problems.nano.lists import insertions
from youtu_onnx.problems.nano.logic import COMPARE
from youtu_onnx.problems.problem import Problem

FAMILY = "ordering"
KINDS = ("sort", "sort", "sort_down", "max", "min", "compare", "decimals")
STATEMENT = re.compile(r"(sort|down|max|min) ([\d ]+)|compare ([\d.]+) ([\d.]+)")
LENGTHS = ((3, 3), (3, 5), (4, 6), (8, 8))

PHRASES = LISTS | {
    "sort_down": {
        "en": ["Sort {l} in descending order.", "Arrange {l} from large to small.", "Put {l} in order, largest first."],
        "zh": ["把这些数从大到小排列：{l}。", "请将{l}从大到小排序。", "降序排列：{l}。"],
    },
}


def places(a: str, b: str) -> tuple[str, str]:
    """Both with the same number of digits before the point and after it."""
    (a, x), (b, y) = ((*n.split("."), "")[:2] for n in (a, b))
    front, back = max(len(a), len(b)), max(len(x), len(y))
    point = "." if back else ""
    return a.zfill(front) + point + x.ljust(back, "0"), b.zfill(front) + point + y.ljust(back, "0")


def comparison(a: str, b: str) -> list[str]:
    """Both filled up to the same places, then digit by digit from the left to the first difference."""
    first, second = places(a, b)
    lines = [f"{first} {second}"]
    digits = []
    for p, q in zip(first, second, strict=True):
        if p == ".":
            continue
        digits.append(f"{p}{'<' if p < q else '>' if p > q else '='}{q}")
        if p != q:
            break
    return [*lines, ",".join(digits)]


def running(values: Sequence[int], best: str) -> str:
    choose = max if best == "max" else min
    return " ".join(f"{v}:{choose(values[: i + 1])}" for i, v in enumerate(values))


def work_lines(kind: str, values: Sequence[int]) -> list[str]:
    name = "down" if kind == "sort_down" else kind
    statement = f"{name} {' '.join(map(str, values))}"
    if kind in ("max", "min"):
        return [statement, running(values, kind)]
    steps = insertions(list(values)).split(";")
    return [statement, *(steps if kind == "sort" else [" ".join(reversed(step.split())) for step in steps])]


def compare(rng: Random, language: str, level: int, decimals: bool) -> Problem:
    wanted = rng.choice(tuple(COMPARE))
    digits = (2, 3, 4, 6)[level - 1]
    while True:
        if decimals:
            whole = rng.randint(0, 10 ** min(level, 2) - 1)
            other = whole if rng.random() < 0.8 else rng.randint(0, 99)
            a, b = (f"{w}.{rng.randint(1, 10 ** rng.randint(1, min(level + 1, 4)) - 1)}" for w in (whole, other))
        else:
            a = str(rng.randint(10 ** (digits - 1) if level == 4 else 1, 10**digits - 1))
            b = str(rng.randint(1, 10**digits - 1)) if rng.random() < 0.4 else near(rng, a)
        if Decimal(a) != Decimal(b):
            break
    low, high = sorted((a, b), key=Decimal)
    prompt = rng.choice(COMPARE[wanted][language]).format(a=a, b=b)
    kind = "decimals" if decimals else "compare"
    thought = "\n".join([f"compare {a} {b}", *comparison(a, b)])
    return Problem(FAMILY, kind, language, f"compare:{low}:{high}", prompt, thought, high if wanted == "larger" else low)


def near(rng: Random, a: str) -> str:
    """A number that begins like `a`."""
    at = rng.randrange(len(a))
    return str(int(a[:at] + "".join(str(rng.randint(0, 9)) for _ in a[at:])))


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    if kind in ("compare", "decimals"):
        return compare(rng, language, level, kind == "decimals")
    short, long = LENGTHS[level - 1]
    values = rng.sample(range(1, 1000 if level > 2 and rng.random() < 0.3 else 100), rng.randint(short, long))
    joined = ", ".join(map(str, values))
    ordered = sorted(values, reverse=kind == "sort_down")
    answer = ", ".join(map(str, ordered)) if kind.startswith("sort") else str(max(values) if kind == "max" else min(values))
    prompt = rng.choice(PHRASES[kind][language]).format(l=f"[{joined}]" if rng.random() < 0.3 else joined)
    return Problem(FAMILY, kind, language, f"{kind}:{joined}", prompt, "\n".join(work_lines(kind, values)), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    yield True
    if found[3]:
        expected = comparison(found[3], found[4])
        for at, line in enumerate(written[1:]):
            yield at < 2 and line == expected[at]
        yield len(written) == 3 and answer in (found[3], found[4])
        return
    values = [int(v) for v in found[2].split()]
    if found[1] in ("max", "min"):
        for line in written[1:]:
            yield line == running(values, found[1])
        yield len(written) == 2 and answer == str(max(values) if found[1] == "max" else min(values))
        return
    down, before = found[1] == "down", list[int]()
    for at, line in enumerate(written[1:]):
        now = [int(v) for v in line.split()]
        yield now == sorted([*before, values[at]], reverse=down)
        before = now
    yield sorted(values, reverse=down) == [int(v) for v in answer.split(", ")] == before
