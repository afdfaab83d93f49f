"""The task families together: sampling for training, held-out problems for measuring."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from youtu_onnx.problems.nano import arithmetic, lists, logic, strings, word_problems
from youtu_onnx.problems.problem import LANGUAGES, Problem, is_held_out

from . import small_talk

MODULES = (arithmetic, word_problems, strings, lists, logic, small_talk)
FAMILIES: dict[str, Callable[[Random, str], Problem]] = {module.FAMILY: module.generate for module in MODULES}
# Share of each family in training, by how much practice it was seen to need.
SHARES = {"arithmetic": 0.26, "word_problem": 0.09, "string": 0.20, "list": 0.21, "logic": 0.19, "small_talk": 0.05}
# Small talk has too few phrasings to keep some back, and no single right reply.
MEASURED = tuple(family for family in FAMILIES if family != small_talk.FAMILY)


def sample(rng: Random, family: str | None = None, language: str | None = None) -> Problem:
    """A problem for training: never one that is held out."""
    family = family or rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]
    language = language or rng.choice(LANGUAGES)
    while True:
        problem = FAMILIES[family](rng, language)
        if family not in MEASURED or not is_held_out(problem.key):
            return problem


def held_out(family: str, count: int, seed: int, language: str | None = None) -> list[Problem]:
    """`count` different problems that training never shows, the same for the same seed.

    Languages alternate unless one is named; the same seed gives both languages mostly the same
    operands, so their results can be compared. Raises KeyError for a family without held-out problems.
    """
    if family not in MEASURED:
        raise KeyError(f"no held-out problems for {family!r}; choose from {', '.join(MEASURED)}")
    rng = Random(f"held-out {family} {seed}")
    problems: dict[tuple[str, str], Problem] = {}
    while len(problems) < count:
        problem = FAMILIES[family](rng, language or LANGUAGES[len(problems) % len(LANGUAGES)])
        if is_held_out(problem.key):
            problems.setdefault((problem.language, problem.prompt), problem)
    return list(problems.values())
