"""The families together: problems for training, held-out ones for measuring, and verified steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from training.common.problem import LANGUAGES, Problem, is_held_out

from .problems import (
    arithmetic,
    bases,
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
    talk,
    units,
)

MODULES = (
    arithmetic, euclid, bases, fractions, equations, ordering, propositions, knights,
    sudoku, maze, dates, units, stories, programs, letters,
)  # fmt: skip
GENERATORS: dict[str, Callable[[Random, str, int], Problem]] = {module.FAMILY: module.generate for module in MODULES}
CHECKERS: dict[str, steps.Checker] = {module.FAMILY: module.check for module in MODULES}
STATEMENTS: dict[str, re.Pattern[str]] = {module.FAMILY: module.STATEMENT for module in MODULES}
MEASURED = tuple(GENERATORS)

# Share of each family's problems in training: more for what has many kinds or takes much practice.
SHARES = {
    "arithmetic": 15, "gcd": 6, "base": 6, "fraction": 8, "equation": 7, "ordering": 9, "logic": 8, "knights": 5,
    "sudoku": 5, "maze": 4, "date": 7, "unit": 6, "word_problem": 9, "program": 6, "letters": 5, talk.FAMILY: 1.5,
}  # fmt: skip
HARDER = 4  # the level beyond training


def level(rng: Random, progress: float) -> int:
    """1 to 3. Short problems come first; from a third of the time on, half of them are of the full length."""
    ripe = min(1.0, 3 * progress)
    weights = [(1 - ripe) * early + ripe * late for early, late in ((0.6, 0.15), (0.3, 0.35), (0.1, 0.5))]
    return rng.choices((1, 2, 3), weights)[0]


def sample(rng: Random, progress: float, family: str | None = None, language: str | None = None) -> Problem:
    """A problem for training, never one that is held out. `progress` (0 to 1) is how much of the training is done."""
    family = family or rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]
    language = language or rng.choice(LANGUAGES)
    if family == talk.FAMILY:
        return talk.generate(rng, language, 1)
    while True:
        problem = GENERATORS[family](rng, language, level(rng, progress))
        if not is_held_out(problem.key):
            return problem


def held_out(family: str, count: int, seed: int, level: int | None = None) -> list[Problem]:
    """`count` different problems that training never shows, languages in turn, the same for the same seed.

    Levels 1 to 3 in turn unless one is named; `HARDER` gives problems longer than trained. Word problems are about
    people and things that training never names. Raises KeyError for a family without held-out problems.
    """
    if family not in MEASURED:
        raise KeyError(f"no held-out problems for {family!r}; choose from {', '.join(MEASURED)}")
    generate = stories.elsewhere if family == stories.FAMILY else GENERATORS[family]
    rng = Random(f"held-out {family} {seed}")
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        wanted = level or len(problems) // len(LANGUAGES) % 3 + 1
        problem = generate(rng, LANGUAGES[len(problems) % len(LANGUAGES)], wanted)
        if is_held_out(problem.key):
            problems.setdefault(problem.prompt, problem)
    return list(problems.values())


def family_of(thought: str) -> str | None:
    """The family whose notation a thought's first line is in."""
    first = thought.split("\n", 1)[0]
    for family, pattern in STATEMENTS.items():
        if (pattern.match(first) if family == arithmetic.FAMILY else pattern.fullmatch(first)) is not None:
            return family
    return None


def verified(thought: str, answer: str, family: str | None = None) -> tuple[steps.Step, ...]:
    """Each line of a thought and the answer, with whether it is valid. Empty where no verifier knows the notation."""
    family = family or family_of(thought)
    return steps.verify(CHECKERS[family], thought, answer) if family is not None else ()


def sound(parts: Sequence[steps.Step]) -> float:
    """The share of steps that are valid, 0 to 1; 0 where there are none."""
    return sum(step.valid for step in parts) / len(parts) if parts else 0.0
