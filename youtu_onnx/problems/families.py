"""The families together: problems that no training shows, the same for the same seed."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from youtu_onnx.problems import (
    arithmetic,
    bases,
    bounds,
    dates,
    equations,
    euclid,
    fractions,
    knights,
    letters,
    maze,
    ordering,
    programs,
    propositions,
    steps,
    stories,
    sudoku,
    units,
)
from youtu_onnx.problems.plug_ins import korvo, roman
from youtu_onnx.problems.problem import LANGUAGES, Problem, is_held_out

MODULES = (
    arithmetic, euclid, bases, fractions, equations, ordering, propositions, knights,
    sudoku, maze, dates, units, stories, programs, letters,
)  # fmt: skip
PLUG_INS = (roman, korvo)
"""What adapters are taught. The base is neither trained on them nor measured by them."""
KNOWN = (*MODULES, *PLUG_INS)
GENERATORS: dict[str, Callable[[Random, str, int], Problem]] = {module.FAMILY: module.generate for module in KNOWN}
CHECKERS: dict[str, steps.Checker] = {module.FAMILY: module.check for module in KNOWN}
STATEMENTS: dict[str, re.Pattern[str]] = {module.FAMILY: module.STATEMENT for module in KNOWN}
MEASURED = tuple(module.FAMILY for module in MODULES)
PLUGGED = tuple(module.FAMILY for module in PLUG_INS)

HARDER = 4  # the level beyond training

FRUITLESS = 10_000  # draws in a row that bring nothing new: there is nothing new
LEAST = 200  # questions, among which there are some of every kind


def held_out(family: str, count: int, seed: int, level: int | None = None) -> list[Problem]:
    """`count` different questions that training never shows, languages in turn, the same for the same seed.

    Levels 1 to 3 in turn unless one is named; `HARDER` gives problems longer than trained. Word problems are about
    people and things that training never names. One problem (`key`) may be asked in several wordings. Fewer than
    `count` where a level or language has no more: some spaces are small, and a tenth of each is held out.
    Raises KeyError for a family without held-out problems.
    """
    if family not in GENERATORS:
        raise KeyError(f"no held-out problems for {family!r}; choose from {', '.join(GENERATORS)}")
    generate = stories.elsewhere if family == stories.FAMILY else GENERATORS[family]
    rng = Random(f"held-out {family} {seed}")
    problems: dict[str, Problem] = {}
    fruitless = 0
    while len(problems) < count and fruitless < FRUITLESS:
        wanted = level or len(problems) // len(LANGUAGES) % 3 + 1
        problem = generate(rng, LANGUAGES[len(problems) % len(LANGUAGES)], wanted)
        new = is_held_out(problem.key) and problem.prompt not in problems
        fruitless = 0 if new else fruitless + 1
        if new:
            problems[problem.prompt] = problem
    return list(problems.values())


def different(
    family: str, count: int, seed: int, level: int | None = None, takes: Callable[[Problem], bool] = lambda problem: True
) -> list[Problem]:
    """As :func:`held_out`, each problem once, in the wording that comes first, of those that `takes` accepts.

    Fewer than `count` where no more are held out, or twice as many questions bring none.
    """
    asked, before = count, -1
    while True:
        drawn = held_out(family, asked, seed, level)
        found: dict[str, Problem] = {}
        for problem in filter(takes, drawn):
            found.setdefault(problem.key, problem)
        none_new = len(found) == before and asked > LEAST
        if len(found) >= count or none_new or len(drawn) < asked:
            return list(found.values())[:count]
        asked, before = 2 * asked, len(found)


def fresh(family: str, seed: int, level: int, language: str) -> Problem:
    """One problem that training never shows, the same for the same arguments. Raises as :func:`held_out`."""
    return next(one for one in held_out(family, len(LANGUAGES), seed, level) if one.language == language)


def stated(thought: str) -> tuple[str, str] | None:
    """The family in whose notation a thought's first line is, and the statement in it; None where that is no family's."""
    first = thought.strip("\n").split("\n", 1)[0]
    if not bounds.readable(first):
        return None
    for family, pattern in STATEMENTS.items():
        found = pattern.match(first) if family == arithmetic.FAMILY else pattern.fullmatch(first)
        if found is not None:
            return family, found[0]
    return None


def family_of(thought: str) -> str | None:
    """The family whose notation a thought's first line is in."""
    found = stated(thought)
    return None if found is None else found[0]


def verified(thought: str, answer: str, family: str | None = None) -> tuple[steps.Step, ...]:
    """Each line of a thought and the answer, with whether it is valid. Empty where no verifier knows the notation."""
    family = family or family_of(thought)
    return steps.verify(CHECKERS[family], thought, answer) if family is not None else ()
