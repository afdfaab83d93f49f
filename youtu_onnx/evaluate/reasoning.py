"""How many of MicroReason's problems a bundle answers right, and how many of its steps are sound.

Problems are those that training never shows (:func:`youtu_onnx.problems.families.different`); decoding is greedy, and the answer
must equal the problem's exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from youtu_onnx.chat.model import Model
from youtu_onnx.chat.result import Result
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.evaluate.interval import wilson
from youtu_onnx.problems import families, steps
from youtu_onnx.problems.problem import Problem
from youtu_onnx.text.thinking import CLOSE


@dataclass(frozen=True)
class Solved:
    """One reply.

    Attributes:
        sound: the share of its lines and answer that are valid, 0 to 1.
    """

    problem: Problem
    answer: str
    sound: float

    @property
    def right(self) -> bool:
        return self.answer == self.problem.answer


@dataclass(frozen=True)
class Score:
    right: int
    total: int
    sound: float

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.total)

    def to_dict(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "right": self.right,
            "total": self.total,
            "accuracy": self.right / self.total,
            "interval": [round(low, 4), round(high, 4)],
            "sound": self.sound,
        }


@dataclass(frozen=True)
class Reasoning:
    outcomes: tuple[Solved, ...]

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.problem.family for one in self.outcomes))

    def score(self, family: str | None = None) -> Score:
        """Of one family, or of all."""
        chosen = [one for one in self.outcomes if family in (None, one.problem.family)]
        return Score(sum(one.right for one in chosen), len(chosen), sum(one.sound for one in chosen) / len(chosen))

    def to_dict(self) -> dict[str, Any]:
        """As :meth:`youtu_onnx.evaluate.evaluation.Evaluation.to_dict`, with intervals and soundness."""
        return self.score().to_dict() | {
            "families": {name: self.score(name).to_dict() for name in self.families},
            "wrong": [
                {"id": one.problem.key, "prompt": one.problem.prompt, "expected": one.problem.answer, "reply": one.answer}
                for one in self.outcomes
                if not one.right
            ],
        }


def problems(count: int, seed: int, level: int | None = None) -> list[Problem]:
    """``count`` different ones of each family, or as many as are held out, the same for the same arguments.

    Levels 1 to 3 in turn unless one is named.

    Raises:
        UsageError: no problems, or no such level.
    """
    if count < 1:
        raise UsageError(f"{count} problems of each family are none", hint="choose a --count from 1")
    if level is not None and not 1 <= level <= families.HARDER:
        raise UsageError(f"--level is {level}", hint=f"choose one from 1 to {families.HARDER}")
    return [problem for family in families.MEASURED for problem in families.different(family, count, seed, level)]


def solve(model: Model, asked: Sequence[Problem], *, max_tokens: int, progress: Progress | None = None) -> Reasoning:
    """Ask every problem once, greedily."""
    progress = progress or Silent()
    progress.begin("problems", total=len(asked), unit="problems")
    outcomes = []
    for problem in asked:
        outcomes.append(marked(problem, model.generate(problem.prompt, greedy=True, max_tokens=max_tokens)))
        progress.advance(1)
    progress.finish()
    return Reasoning(tuple(outcomes))


def marked(problem: Problem, reply: Result) -> Solved:
    """A thought that was cut off counts as none."""
    thought, answer = reply.thinking if CLOSE in reply.text else "", reply.answer.strip()
    return Solved(problem, answer, steps.sound(families.verified(thought, answer, problem.family)))
