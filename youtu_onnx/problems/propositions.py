"""Propositional logic: the value of a formula, and what follows from rules and facts by forward chaining."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from youtu_onnx.problems import chaining
from youtu_onnx.problems.problem import Problem

FAMILY = "logic"
KINDS = ("evaluate", "evaluate", "deduce", "deduce")
STATEMENT = re.compile(r"eval ([pqrs01!&|>()]+):((?:[pqrs]=[01],?)+)|" + chaining.STATEMENT.pattern)
SIGNS = "&&||>"
WORDS = {
    "en": {"!": "not ", "&": " and ", "|": " or ", ">": " implies ", "1": "true", "0": "false"},
    "zh": {"!": "非", "&": "且", "|": "或", ">": "蕴含", "1": "真", "0": "假"},
}
PHRASES = {
    "en": ["{g}. What is {f}?", "Let {g}. Is {f} true or false?", "If {g}, is {f} true?", "{g}. Find the truth value of {f}."],
    "zh": ["{g}。{f}是真还是假？", "已知{g}，求{f}的真假。", "设{g}，判断{f}的真假。"],
}


def formula(rng: Random, names: str, operators: int) -> str:
    """A random formula, fully bracketed within: the outermost operation bare."""
    if operators == 0:
        return rng.choice(names)
    if rng.random() < 0.25:
        inner = formula(rng, names, operators - 1)
        return "!" + (inner if len(inner) == 1 or inner[0] == "!" else f"({inner})")
    left = rng.randint(0, operators - 1)
    parts = [formula(rng, names, n) for n in (left, operators - 1 - left)]
    parts = [p if len(p) <= 2 else f"({p})" for p in parts]
    return rng.choice(SIGNS).join(parts)


INNERMOST = re.compile(r"!([01])|\(([01])\)|\(?([01])([&|>])([01])\)?")


def reduced(text: str) -> str:
    """One step: every innermost operation replaced by its value. Values, brackets and ! & | > only."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return "10"[int(found[1])]
        if found[2]:
            return found[2]
        a, b = int(found[3]), int(found[5])
        return str({"&": a & b, "|": a | b, ">": int(a <= b)}[found[4]])

    return INNERMOST.sub(one, text)


def steps(text: str, values: Mapping[str, str]) -> list[str]:
    """Values put in, then reduced until one is left. Raises ValueError for what isn't a formula."""
    lines = ["".join(values.get(c, c) for c in text)]
    while len(lines[-1]) > 1:
        lines.append(reduced(lines[-1]))
        if lines[-1] == lines[-2]:
            raise ValueError(f"not a formula: {text!r}")
    return lines


def spoken(text: str, language: str, rng: Random) -> str:
    """In signs, or in words."""
    if rng.random() < 0.3:
        return text.replace("&", " & ").replace("|", " | ").replace(">", " > ")
    return "".join(WORDS[language].get(c, c) for c in text)


def evaluate(rng: Random, language: str, level: int) -> Problem:
    names = "pqrs"[: (2, 3, 3, 4)[level - 1]]
    text = formula(rng, names, (1, 2, rng.randint(3, 4), 5)[level - 1] if level != 1 else rng.randint(1, 2))
    used = sorted({c for c in text if c in names})
    values = {c: rng.choice("01") for c in used}
    words = WORDS[language]
    given = [f"{c} is {words[v]}" if language == "en" else f"{c}为{words[v]}" for c, v in values.items()]
    prompt = rng.choice(PHRASES[language]).format(
        g=(", " if language == "en" else "，").join(given), f=spoken(text, language, rng)
    )
    assigned = ",".join(f"{c}={v}" for c, v in values.items())
    lines = steps(text, values)
    thought = "\n".join([f"eval {text}:{assigned}", *lines])
    return Problem(FAMILY, "evaluate", language, f"evaluate:{text}:{assigned}", prompt, thought, words[lines[-1]])


def generate(rng: Random, language: str, level: int) -> Problem:
    if rng.choice(KINDS) == "deduce":
        return chaining.generate(rng, language, level)
    return evaluate(rng, language, level)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    if not found[1]:
        yield from chaining.check(written, answer)
        return
    expected = steps(found[1], dict(pair.split("=") for pair in found[2].split(",")))
    yield True
    for at, line in enumerate(written[1:]):
        yield at < len(expected) and line == expected[at]
    yield len(written) == len(expected) + 1 and answer in {WORDS[language][expected[-1]] for language in WORDS}
