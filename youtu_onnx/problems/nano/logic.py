"""Comparison, parity, truth of a small statement, and the order of three people."""

from __future__ import annotations

from random import Random

from youtu_onnx.problems.nano.word_problems import NAMES
from youtu_onnx.problems.problem import Problem

FAMILY = "logic"

COMPARE = {
    "larger": {
        "en": ["Which is larger, {a} or {b}?", "Which number is bigger: {a} or {b}?"],
        "zh": ["{a}和{b}哪个大？", "{a}与{b}，哪个更大？"],
    },
    "smaller": {
        "en": ["Which is smaller, {a} or {b}?", "Which number is less: {a} or {b}?"],
        "zh": ["{a}和{b}哪个小？", "{a}与{b}，哪个更小？"],
    },
}
PARITY = {
    "en": ["Is {a} even or odd?", "Is the number {a} odd or even?", "Even or odd: {a}?"],
    "zh": ["{a}是奇数还是偶数？", "判断{a}的奇偶。", "{a}是偶数还是奇数？"],
}
TRUTH = {
    "en": ["True or false: {s}?", "Is it true that {s}? Answer true or false.", "{s}. True or false?"],
    "zh": ["判断对错：{s}。", "{s}，对还是错？", "{s}对吗？请回答对或错。"],
}
ORDER = {
    "en": [
        ("{p} is taller than {q}.", "Who is the tallest?", "Who is the shortest?"),
        ("{p} is older than {q}.", "Who is the oldest?", "Who is the youngest?"),
        ("{p} is faster than {q}.", "Who is the fastest?", "Who is the slowest?"),
    ],
    "zh": [
        ("{p}比{q}高。", "谁最高？", "谁最矮？"),
        ("{p}比{q}大。", "谁最大？", "谁最小？"),
        ("{p}比{q}快。", "谁最快？", "谁最慢？"),
    ],
}
WORDS = {
    "en": {"even": "even", "odd": "odd", True: "true", False: "false"},
    "zh": {"even": "偶数", "odd": "奇数", True: "对", False: "错"},
}


def compare(rng: Random, language: str) -> Problem:
    a, b = rng.sample(range(1, 1000 if rng.random() < 0.5 else 100), 2)
    kind = rng.choice(tuple(COMPARE))
    answer = max(a, b) if kind == "larger" else min(a, b)
    prompt = rng.choice(COMPARE[kind][language]).format(a=a, b=b)
    # Both orders of a pair are one problem.
    key = f"compare:{min(a, b)}:{max(a, b)}"
    return Problem(FAMILY, "compare", language, key, prompt, f"{a}{'<' if a < b else '>'}{b}", str(answer))


def parity(rng: Random, language: str) -> Problem:
    a = rng.randint(0, 999)
    answer = WORDS[language]["even" if a % 2 == 0 else "odd"]
    prompt = rng.choice(PARITY[language]).format(a=a)
    return Problem(FAMILY, "parity", language, f"parity:{a}", prompt, f"{a}: {a % 10}", answer)


def truth(rng: Random, language: str) -> Problem:
    if rng.random() < 0.5:
        a, b = rng.randint(1, 20), rng.randint(1, 20)
        claimed = a + b if rng.random() < 0.5 else max(1, a + b + rng.choice((-2, -1, 1, 2, 10)))
        statement, key = f"{a} + {b} = {claimed}", f"truth:{a}+{b}"
        fact, holds = f"{a}+{b}={a + b}", claimed == a + b
    else:
        a, b = rng.sample(range(1, 100), 2)
        sign = rng.choice("<>")
        statement, key = f"{a} {sign} {b}", f"truth:{min(a, b)}<{max(a, b)}"
        fact, holds = f"{a}{'<' if a < b else '>'}{b}", (a < b) == (sign == "<")
    prompt = rng.choice(TRUTH[language]).format(s=statement)
    # Claim and fact side by side: the answer is whether they are the same text.
    thought = f"{statement.replace(' ', '')}:{fact}"
    return Problem(FAMILY, "truth", language, key, prompt, thought, WORDS[language][holds])


def order(rng: Random, language: str) -> Problem:
    chain = rng.sample(range(len(NAMES[language])), 3)
    top, middle, low = (NAMES[language][i] for i in chain)
    premise, ask_top, ask_low = rng.choice(ORDER[language])
    pairs = [(top, middle), (middle, low)]
    rng.shuffle(pairs)
    facts = [premise.format(p=p, q=q) for p, q in pairs]
    thought = ",".join(f"{p}>{q}" for p, q in pairs) + f":{top}>{middle}>{low}"
    wants_top = rng.random() < 0.5
    space = " " if language == "en" else ""
    prompt = space.join([*facts, ask_top if wants_top else ask_low])
    key = "order:" + ":".join(map(str, chain))
    return Problem(FAMILY, "order", language, key, prompt, thought, top if wants_top else low)


def generate(rng: Random, language: str) -> Problem:
    return rng.choice((compare, parity, truth, order))(rng, language)
