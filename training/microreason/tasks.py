"""What is trained on: how often each family, and from which level on."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from youtu_onnx.problems.families import GENERATORS
from youtu_onnx.problems.problem import LANGUAGES, Problem, is_held_out

from . import talk

# Share of each family's problems in training: more for what has many kinds or takes much practice.
SHARES = {
    "arithmetic": 10, "gcd": 6, "base": 6, "fraction": 8, "equation": 7, "ordering": 9, "logic": 10, "knights": 7,
    "sudoku": 7, "maze": 6, "date": 8, "unit": 6, "word_problem": 9, "program": 6, "letters": 6, talk.FAMILY: 1.5,
}  # fmt: skip

RIPE_AT = 1 / 3  # the share of a training from which on half of the problems are of the full length


def level(rng: Random, progress: float) -> int:
    """1 to 3. Short problems come first; from a third of the time on, half of them are of the full length."""
    ripe = min(1.0, progress / RIPE_AT)
    weights = [(1 - ripe) * early + ripe * late for early, late in ((0.6, 0.15), (0.3, 0.35), (0.1, 0.5))]
    return rng.choices((1, 2, 3), weights)[0]


Shares = Mapping[str, float]
"""Of each family; they need not add up to anything."""


def sample(
    rng: Random, progress: float, family: str | None = None, language: str | None = None, shares: Shares | None = None
) -> Problem:
    """A problem for training, never one that is held out. `progress` (0 to 1) is how much of the training is done."""
    shares = SHARES if shares is None else shares
    family = family or rng.choices(tuple(shares), tuple(shares.values()))[0]
    language = language or rng.choice(LANGUAGES)
    if family == talk.FAMILY:
        return talk.generate(rng, language, 1)
    while True:
        problem = GENERATORS[family](rng, language, level(rng, progress))
        if not is_held_out(problem.key):
            return problem
