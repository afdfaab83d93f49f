"""Tasks of the package reasoning-gym, in its own wording and by its own verifiers.

    pip install --target DIR reasoning-gym
    PYTHONPATH=DIR python -m training.microreason.gym ~/.cache/youtu-onnx/microreason/stage3/model --count 100

Nothing of that package is trained on. `near` tasks ask what a family here asks, in words that training never has, and within
its sizes; `far` ones are of no family. An answer counts as its verifier says (1 or not), once as the model wrote it, and once put
into the form that the task asks for, where that is another one of the same content.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from tokenizers import Tokenizer

from youtu_onnx.problems.problem import Problem, final_answer

from . import package
from .generate import replies
from .measure import Share
from .model import MicroReasonForCausalLM


class Dataset(Protocol):
    """What a data set of reasoning-gym does."""

    def __iter__(self) -> Any: ...

    def score_answer(self, answer: str, entry: Mapping[str, Any]) -> float: ...


def as_it_is(answer: str) -> str:
    return answer


def value_alone(answer: str) -> str:
    """x = 5 → 5"""
    return answer.rsplit("=", 1)[-1].strip()


def list_of_strings(answer: str) -> str:
    """3, 5, 8 → ['3', '5', '8']"""
    return str(re.split(r"\s*,\s*", answer.strip()))


def spaced_grid(answer: str) -> str:
    """1234/… in lines → 1 2 3 4 in lines"""
    return "\n".join(" ".join(line) for line in answer.split("\n"))


@dataclass(frozen=True)
class Task:
    """A data set's name and settings, the family here that asks the same ("" for none), and how the answer is to look."""

    name: str
    family: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    form: Callable[[str], str] = as_it_is


TASKS = (
    Task("chain_sum", "arithmetic", {"max_terms": 2}),
    Task("products", "arithmetic", {"max_digits": 2}),
    Task("gcd", "gcd", {"max_value": 200}),
    Task("lcm", "gcd", {"max_value": 30}),
    Task("simple_equations", "equation", {"max_terms": 2, "max_value": 9}, value_alone),
    Task(
        "number_sorting",
        "ordering",
        {"max_numbers": 6, "max_decimals": 0, "min_value": 1.0, "max_value": 99.0},
        list_of_strings,
    ),
    Task("knights_knaves", "knights"),
    Task("mini_sudoku", "sudoku", {"min_empty": 4, "max_empty": 9}, spaced_grid),
    Task("maze", "maze", {"max_grid_size": 5, "min_dist": 2}),
    Task("calendar_arithmetic", "date", {"tasks": ["weekday_offset"]}),
    Task("fraction_simplification", "fraction", {"max_value": 12, "max_factor": 9, "styles": ("plain",)}),
    Task("spell_backward", "letters", {"max_word_len": 7}),
    Task("gsm_symbolic", "word_problem"),
    Task("base_conversion", "", {"max_value": 255}),
    Task("chain_sum", "", {"min_terms": 4}),
    Task("decimal_arithmetic", "", {"max_num_decimal_places": 2, "min_num_decimal_places": 1, "max_terms": 2}),
    Task("letter_counting"),
    Task("leg_counting"),
    Task("syllogism"),
    Task("time_intervals"),
)


def asked(model: MicroReasonForCausalLM, words: Tokenizer, task: Task, count: int, seed: int) -> dict[str, Any]:
    """What of `count` questions the model answers as the task's verifier wants it."""
    gym = importlib.import_module("reasoning_gym")
    data: Dataset = gym.create_dataset(task.name, size=count, seed=seed, **task.settings)
    entries = list(data)
    questions = [Problem(task.family, task.name, "en", "", entry["question"].strip(), "", None) for entry in entries]
    answers = [final_answer(reply) for reply in replies(model, words, questions)]

    def right(form: Callable[[str], str]) -> Share:
        scored = [data.score_answer(form(answer), entry) >= 1 for answer, entry in zip(answers, entries, strict=True)]
        return Share.among(scored)

    strict, formed = right(as_it_is), right(task.form)
    settings = ", ".join(f"{name} {value}" for name, value in task.settings.items())
    return {"task": task.name, "settings": settings, "family": task.family} | {
        "strict": asdict(strict) | {"text": str(strict)},
        "formed": asdict(formed) | {"text": str(formed)},
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    out = ["| task | settings | family here | right as written | in the form asked for |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row["task"], row["settings"], row["family"] or "none", row["strict"]["text"], row["formed"]["text"])
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=100, help="questions of each task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, words = package.load(args.model)
    rows = list[dict[str, Any]]()
    for task in TASKS:
        rows.append(asked(model, words, task, args.count, args.seed))
        print(f"{task.name}: {rows[-1]['strict']['text']}", file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2) if args.json else markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
