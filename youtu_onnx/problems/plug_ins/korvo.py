"""Korvo, an invented game with a row of signs, whose rules no question states.

A move replaces the leftmost two neighbours that a rule is about by one sign; a row without such a pair is the end:

    **>+    ++>-    -->*    *->+    -+>*

A line is the number of a move, its rule, and the row after it: `2:++>-:*+-`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "korvo"
KINDS = ("korvo_end", "korvo_moves")
SIGNS = "*+-"
RULES = {"**": "+", "++": "-", "--": "*", "*-": "+", "-+": "*"}
PAIR = re.compile("|".join(map(re.escape, RULES)))
STATEMENT = re.compile(r"korvo (end|moves):([*+-]{2,24})")
LENGTHS = ((3, 5), (5, 6), (6, 8), (10, 12))

PHRASES = {
    "korvo_end": {
        "en": ['Play korvo: "{row}". What is left?', 'What is left of "{row}" in korvo?', 'How does korvo end from "{row}"?'],
        "zh": ["玩korvo：“{row}”。最后剩下什么？", "在korvo中，“{row}”最后变成什么？", "korvo从“{row}”开始，结果是什么？"],
    },
    "korvo_moves": {
        "en": [
            'How many moves has korvo from "{row}"?',
            'Play korvo: "{row}". How many moves?',
            'Count the korvo moves of "{row}".',
        ],
        "zh": ["korvo从“{row}”开始有几步？", "玩korvo：“{row}”。一共走几步？", "在korvo中，“{row}”要走几步？"],
    },
}


def move(row: str) -> tuple[str, str] | None:
    """The pair that is replaced, and the row after it; None at the end."""
    found = PAIR.search(row)
    return None if found is None else (found[0], row[: found.start()] + RULES[found[0]] + row[found.end() :])


def moves(row: str) -> tuple[list[str], str]:
    """The lines of a game, and the row at its end."""
    lines = list[str]()
    while (made := move(row)) is not None:
        pair, row = made
        lines.append(f"{len(lines) + 1}:{pair}>{RULES[pair]}:{row}")
    return lines, row


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    row = "".join(rng.choice(SIGNS) for _ in range(rng.randint(*LENGTHS[level - 1])))
    lines, end = moves(row)
    answer = end if kind == "korvo_end" else str(len(lines))
    prompt = rng.choice(PHRASES[kind][language]).format(row=row)
    statement = f"korvo {kind.removeprefix('korvo_')}:{row}"
    return Problem(FAMILY, kind, language, f"korvo:{row}", prompt, "\n".join([statement, *lines]), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    expected, end = moves(found[2])
    yield True
    for at, line in enumerate(written[1:]):
        yield at < len(expected) and line == expected[at]
    yield len(written) == len(expected) + 1 and answer == (end if found[1] == "end" else str(len(expected)))
