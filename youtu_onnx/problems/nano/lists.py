"""Operations on a list of three to five numbers."""

from __future__ import annotations

from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "list"

PHRASES = {
    "sort": {
        "en": [
            "Sort these numbers: {l}.",
            "Sort {l} in ascending order.",
            "Put {l} in order.",
            "Arrange {l} from small to large.",
        ],
        "zh": ["把这些数从小到大排列：{l}。", "请将{l}从小到大排序。", "排序：{l}。"],
    },
    "max": {
        "en": ["What is the largest of {l}?", "Find the maximum of {l}.", "Which number is the biggest: {l}?"],
        "zh": ["{l}中最大的数是多少？", "求{l}的最大值。", "下列哪个数最大：{l}？"],
    },
    "min": {
        "en": ["What is the smallest of {l}?", "Find the minimum of {l}.", "Which number is the least: {l}?"],
        "zh": ["{l}中最小的数是多少？", "求{l}的最小值。", "下列哪个数最小：{l}？"],
    },
    "sum": {
        "en": ["What is the sum of {l}?", "Add up these numbers: {l}.", "Find the total of {l}."],
        "zh": ["{l}的和是多少？", "把这些数加起来：{l}。", "求{l}的总和。"],
    },
    "reverse": {
        "en": ["Reverse the list {l}.", "Write the list {l} backwards.", "Give {l} in reverse order."],
        "zh": ["把列表{l}倒过来。", "请将{l}反向排列。", "倒序写出{l}。"],
    },
    "length": {
        "en": ["How many numbers are in the list {l}?", "Count the numbers: {l}.", "How long is the list {l}?"],
        "zh": ["列表{l}里有几个数？", "数一数有几个数：{l}。", "列表{l}有多长？"],
    },
}


def running_sum(values: list[int]) -> str:
    """One addition per step; totals stay below 100, which one step can hold."""
    steps, total = [], values[0]
    for value in values[1:]:
        steps.append(f"{total}+{value}={total + value}")
        total += value
    return ",".join(steps)


def insertions(values: list[int]) -> str:
    """Insertion sort, the sorted part after each number: a step copies it and finds one place."""
    return ";".join(" ".join(map(str, sorted(values[: i + 1]))) for i in range(len(values)))


def generate(rng: Random, language: str) -> Problem:
    kind = rng.choice(tuple(PHRASES))
    if kind == "sum":
        values = [rng.randint(1, 20) for _ in range(rng.randint(3, 4))]
    else:
        values = rng.sample(range(1, 100), rng.randint(3, 4 if kind == "sort" else 5))
    joined = ", ".join(map(str, values))
    if kind == "sort":
        ordered = sorted(values)
        thought, answer = insertions(values), ", ".join(map(str, ordered))
    elif kind in ("max", "min"):
        best = max if kind == "max" else min
        thought = " ".join(f"{v}:{best(values[: i + 1])}" for i, v in enumerate(values))
        answer = str(best(values))
    elif kind == "sum":
        thought, answer = running_sum(values), str(sum(values))
    elif kind == "reverse":
        thought, answer = " ".join(map(str, reversed(values))), ", ".join(map(str, reversed(values)))
    else:
        thought, answer = " ".join(f"{i + 1}:{v}" for i, v in enumerate(values)), str(len(values))
    shown = f"[{joined}]" if rng.random() < 0.3 else joined
    prompt = rng.choice(PHRASES[kind][language]).format(l=shown)
    return Problem(FAMILY, kind, language, f"{kind}:{joined}", prompt, thought, answer)
