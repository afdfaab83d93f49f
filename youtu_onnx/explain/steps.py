"""The steps of a reply, each with what its verifier says of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from youtu_onnx.problems import families
from youtu_onnx.problems.problem import Problem

MARKS = {True: "✓", False: "✗", None: "—"}
"""What is shown for a step that is valid, for one that isn't, and where nothing knows its notation."""


@dataclass(frozen=True)
class Step:
    """One line of a thought, or the answer.

    Attributes:
        valid: whether it holds and follows from what is before it; None where no verifier knows the notation.
    """

    text: str
    valid: bool | None

    @property
    def mark(self) -> str:
        return MARKS[self.valid]


@dataclass(frozen=True)
class Steps:
    """
    Attributes:
        family: of problems, in whose notation the thought is; None for no known one.
        lines: of the thought, empty ones left out.
        answer: valid where it follows from the lines.
    """

    family: str | None
    lines: tuple[Step, ...]
    answer: Step

    @property
    def sound(self) -> float | None:
        """The share of lines and answer that are valid; None where nothing is known of them."""
        every = (*self.lines, self.answer)
        return None if self.family is None else sum(step.valid is True for step in every) / len(every)

    def to_dict(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "lines": [asdict(step) for step in self.lines],
            "answer": asdict(self.answer),
            "sound": self.sound,
        }


def checked(thinking: str, answer: str, *, known: bool = True) -> Steps:
    """
    Args:
        known: whether the model writes in the verifiers' notation. Another's lines may look like it and mean something else.
    """
    thought = "\n".join(line for line in thinking.splitlines() if line.strip())
    family = families.family_of(thought) if known else None
    if family is None:
        return Steps(None, tuple(Step(line, None) for line in thought.splitlines()), Step(answer.strip(), None))
    *lines, last = (Step(step.text, step.valid) for step in families.verified(thought, answer.strip(), family))
    return Steps(family, tuple(lines), last)


@dataclass(frozen=True)
class Asked:
    """A problem whose answer is known, and how to ask it again."""

    problem: Problem
    level: int
    seed: int

    @classmethod
    def fresh(cls, family: str, level: int, seed: int, language: str) -> Asked:
        """One that training never shows. Raises KeyError for an unknown family."""
        return cls(families.fresh(family, seed, level, language), level, seed)

    def right(self, answer: str) -> bool:
        return answer.strip() == self.problem.answer

    def states(self, thinking: str) -> bool:
        """Whether a thought is about this problem."""
        found = families.stated(thinking)
        return found is not None and found == families.stated(self.problem.thought)

    def to_dict(self) -> dict[str, Any]:
        one = self.problem
        fields = {"family": one.family, "kind": one.kind, "language": one.language, "level": self.level, "seed": self.seed}
        return fields | {"answer": one.answer}
