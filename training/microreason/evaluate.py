"""Greedy accuracy on held-out problems, by family, and how many of the written steps are sound.

python -m training.microreason.evaluate ~/.cache/youtu-onnx/microreason/base --count 100
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from youtu_onnx.problems import families, steps
from youtu_onnx.problems.problem import Problem, final_answer

from . import package
from .generate import replies
from .model import MicroReasonForCausalLM


@dataclass(frozen=True)
class Mark:
    """One reply: whether its answer is right, and the share of its steps that are sound."""

    problem: Problem
    reply: str
    correct: bool
    sound: float


def thought(reply: str) -> str:
    """The lines between the think tags; empty where there are none."""
    return reply.split("<think>", 1)[-1].split("</think>", 1)[0].strip("\n") if "</think>" in reply else ""


def mark(problem: Problem, reply: str) -> Mark:
    answer = final_answer(reply)
    return Mark(problem, reply, answer == problem.answer, steps.sound(families.verified(thought(reply), answer, problem.family)))


def measure(model: MicroReasonForCausalLM, tokenizer: Tokenizer, count: int, seed: int, level: int | None = None) -> list[Mark]:
    problems = [p for family in families.MEASURED for p in families.held_out(family, count, seed, level)]
    return [mark(p, reply) for p, reply in zip(problems, replies(model, tokenizer, problems), strict=True)]


def table(marks: Sequence[Mark]) -> dict[str, dict[str, float]]:
    """Accuracy and soundness in percent by family and for all."""
    rows: dict[str, list[Mark]] = {}
    for m in marks:
        rows.setdefault(m.problem.family, []).append(m)
    rows["all"] = list(marks)
    return {
        name: {
            "correct": round(100 * sum(m.correct for m in row) / len(row), 1),
            "sound": round(100 * sum(m.sound for m in row) / len(row), 1),
        }
        for name, row in rows.items()
    }


def markdown(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| family | correct | sound steps |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {row['correct']} % | {row['sound']} % |" for name, row in rows.items())])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=100, help="problems of each family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", type=int, choices=(1, 2, 3, families.HARDER), help="4 is longer and harder than trained")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show-wrong", type=int, default=0, metavar="N")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, tokenizer = package.load(args.model)
    marks = measure(model, tokenizer, args.count, args.seed, args.level)
    rows = table(marks)
    print(json.dumps(rows, indent=2) if args.json else markdown(rows))
    for m in [m for m in marks if not m.correct][: args.show_wrong]:
        print(f"{m.problem.kind} {m.problem.prompt!r}: {m.reply!r}, not {m.problem.answer!r}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
