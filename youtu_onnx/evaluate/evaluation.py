"""How many held-out problems a bundle answers right: what rounding weights costs, in answers.

The reply's last part (what follows the thinking, without white space around it) must equal a problem's answer exactly;
decoding is greedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from youtu_onnx.chat.model import Model
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.evaluate.problem import Problem


@dataclass(frozen=True)
class Outcome:
    problem: Problem
    reply: str

    @property
    def right(self) -> bool:
        return self.reply == self.problem.answer


@dataclass(frozen=True)
class Evaluation:
    outcomes: tuple[Outcome, ...]

    def score(self, *, family: str | None = None, language: str | None = None) -> tuple[int, int]:
        """Right answers and problems, of one family or language or of all."""
        chosen = [o for o in self.outcomes if family in (None, o.problem.family) and language in (None, o.problem.language)]
        return sum(o.right for o in chosen), len(chosen)

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(o.problem.family for o in self.outcomes))

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(o.problem.language for o in self.outcomes))

    def to_dict(self) -> dict[str, Any]:
        right, total = self.score()
        return {
            "right": right,
            "total": total,
            "accuracy": right / total,
            "families": {name: dict(zip(("right", "total"), self.score(family=name), strict=True)) for name in self.families},
            "wrong": [
                {"id": o.problem.id, "prompt": o.problem.prompt, "expected": o.problem.answer, "reply": o.reply}
                for o in self.outcomes
                if not o.right
            ],
        }


def evaluate(model: Model, problems: Sequence[Problem], *, max_tokens: int = 160, progress: Progress | None = None) -> Evaluation:
    """Ask every problem once, greedily."""
    progress = progress or Silent()
    progress.begin("problems", total=len(problems), unit="problems")
    outcomes = []
    for problem in problems:
        reply = model.generate(problem.prompt, greedy=True, max_tokens=max_tokens)
        outcomes.append(Outcome(problem, reply.answer.strip()))
        progress.advance(1)
    progress.finish()
    return Evaluation(tuple(outcomes))
