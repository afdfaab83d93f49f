"""How many held-out problems a bundle answers right: what rounding weights costs, in answers.

A problem file has one JSON object a line: ``{"id", "family", "language", "prompt", "answer"}``. The reply's last part (what
follows the thinking, without white space around it) must equal ``answer`` exactly; decoding is greedy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress, Silent

if TYPE_CHECKING:
    from youtu_onnx.chat.model import Model

HELD_OUT = Path(__file__).parent.parent / "models" / "youtu_nano" / "heldout.jsonl"
"""youtu-nano's problems, none of which it was trained on."""


@dataclass(frozen=True)
class Problem:
    id: str
    family: str
    language: str
    prompt: str
    answer: str


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


def read_problems(path: Path) -> tuple[Problem, ...]:
    """
    Raises:
        UsageError: no such file, an empty one, or a line that is no problem.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't read problems from {path}: {error}", hint="name a JSON Lines file") from error
    problems = []
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            problems.append(Problem(*(str(fields[name]) for name in ("id", "family", "language", "prompt", "answer"))))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path}, line {number}: not a problem ({type(error).__name__}: {error})",
                hint='expected {"id": …, "family": …, "language": …, "prompt": …, "answer": …}',
            ) from error
    if not problems:
        raise UsageError(f"{path} holds no problems")
    return tuple(problems)


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
