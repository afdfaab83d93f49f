"""What a reply is worth: 0.6 for the answer, 0.3 for as many steps as needed, 0.1 for sound ones.

The three parts, and what a reply could try instead of reasoning:

- `correct`, 1 or 0. An answer that doesn't follow from a chain of the problem's own, whose last step is a valid and new one,
  is copied or guessed, and earns nothing.
- `efficient`, 1 / (1 + |steps - steps of the reference|). Steps that are empty, repeated or not valid don't count as steps,
  and each widens the gap, so nothing is gained by filling up to the right number.
- `sound`, the share of valid steps, of those written or of those needed, whichever are more: few steps are not sound ones.

A first line that states another problem than the one asked makes the steps another problem's: all parts are 0. So does a
reply of another form than a thought between its tags, an empty line and the answer, or one that never ended.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from training.common.tokenizer import EOS
from youtu_onnx.problems import arithmetic, families
from youtu_onnx.problems.problem import Problem

CORRECT, EFFICIENT, SOUND = 0.6, 0.3, 0.1
FORM = re.compile(r"<think>\n(.*?)\n</think>\n\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Reward:
    """The three parts, 0 to 1 each, and what kept a reply from earning, by name."""

    correct: float = 0.0
    efficient: float = 0.0
    sound: float = 0.0
    faults: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        return CORRECT * self.correct + EFFICIENT * self.efficient + SOUND * self.sound


USEFUL = "useful"


def statement(thought: str, family: str) -> str:
    """The part of a thought's first line that says what is asked; for sums the work follows on the same line."""
    first = thought.split("\n", 1)[0]
    found = families.STATEMENTS[family].match(first) if family == arithmetic.FAMILY else None
    return found[0] if found else first


def reward(problem: Problem, reply: str, finished: bool = True) -> Reward:
    """Of a reply as the model wrote it, the end token aside. The problem's own thought is the reference."""
    if not finished:
        return Reward(faults=("unfinished",))
    found = FORM.fullmatch(reply.removesuffix(EOS))
    if not found or "think>" in found[1] + found[2]:
        return Reward(faults=("form",))
    thought, answer = found[1], found[2]
    if statement(thought, problem.family) != statement(problem.thought, problem.family):
        return Reward(faults=("statement",))
    *steps, last = families.verified(thought, answer, problem.family)
    reference = problem.thought.split("\n")
    trailing = len(thought) - len(thought.rstrip("\n"))  # empty lines, which the verifier doesn't look at
    kinds = [*judged([(step.text, step.valid) for step in steps], reference), *["empty"] * trailing]
    useful, faults = kinds.count(USEFUL), [kind for kind in kinds if kind != USEFUL]
    supported = last.valid and kinds[-1] == USEFUL
    if answer == problem.answer and not supported:
        faults.append("unsupported")
    return Reward(
        correct=float(answer == problem.answer and supported),
        efficient=1 / (1 + abs(useful - len(reference)) + len(kinds) - useful),
        sound=(useful + supported) / (max(len(kinds), len(reference)) + 1),
        faults=tuple(dict.fromkeys(faults)),
    )


def judged(steps: list[tuple[str, bool]], reference: list[str]) -> Iterator[str]:
    """What each line is: a useful step, or the fault of it. A line may come as often as the reference has it, else once."""
    allowed, written = Counter(reference), Counter[str]()
    for line, valid in steps:
        written[line] += 1
        if not line.strip():
            yield "empty"
        elif written[line] > max(1, allowed[line]):
            yield "repeated"
        else:
            yield USEFUL if valid else "invalid"
