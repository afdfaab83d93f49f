"""The letters of a word: those of youtu-nano, each with the statement that makes it verifiable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from youtu_onnx.problems.nano import strings
from youtu_onnx.problems.problem import Problem

FAMILY = "letters"
KINDS = tuple(strings.PHRASES)
STATEMENT = re.compile(r"(reverse|upper|count [a-z] in|first of|last of|length of) ([a-z]+)")
NAMES = {
    "reverse": "reverse",
    "upper": "upper",
    "count": "count {} in",
    "first": "first of",
    "last": "last of",
    "length": "length of",
}


def word(rng: Random, level: int) -> str:
    """A word of youtu-nano's; beyond training two of them joined."""
    return strings.word(rng) + (strings.word(rng) if level == 4 else "")


def solve(kind: str, text: str, letter: str) -> tuple[str, str]:
    """The line of work and the answer."""
    spelled = " ".join(text)
    if kind == "reverse":
        return f"{spelled} > {' '.join(reversed(text))}", text[::-1]
    if kind == "count":
        running = " ".join(f"{c}{text[: i + 1].count(letter)}" for i, c in enumerate(text))
        return f"{letter}: {running}", str(text.count(letter))
    if kind == "length":
        return " ".join(f"{c}{i + 1}" for i, c in enumerate(text)), str(len(text))
    return spelled, {"upper": text.upper(), "first": text[0], "last": text[-1]}[kind]


def generate(rng: Random, language: str, level: int) -> Problem:
    kind, text = rng.choice(KINDS), word(rng, level)
    letter = rng.choice(text if rng.random() < 0.65 else "abcdefghiklmnoprstuvw")
    line, answer = solve(kind, text, letter)
    prompt = rng.choice(strings.PHRASES[kind][language]).format(w=text, c=letter)
    statement = f"{NAMES[kind].format(letter)} {text}"
    # Keyed by the word alone, as there: a held-out word is unseen in every operation.
    plain = Problem(FAMILY, kind, language, f"word:{text}", prompt, "", answer)
    return replace(plain, thought=f"{statement}\n{line}")


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    kind, letter = found[1].split()[0], found[1].split()[1] if found[1].startswith("count") else ""
    line, right = solve(kind, found[2], letter)
    yield True
    for at, other in enumerate(written[1:]):
        yield at == 0 and other == line
    yield len(written) == 2 and answer == right
