"""Problems with one right answer: a file has one JSON object a line, ``{"id", "family", "language", "prompt", "answer"}``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from youtu_onnx.core.decoding import decoded
from youtu_onnx.core.errors import UsageError

HELD_OUT = Path(__file__).parent.parent / "models" / "youtu_nano" / "heldout.jsonl"
"""youtu-nano's problems, none of which it was trained on."""


@dataclass(frozen=True)
class Problem:
    id: str
    family: str
    language: str
    prompt: str
    answer: str


def read_problems(path: Path) -> tuple[Problem, ...]:
    """
    Raises:
        UsageError: no such file, an empty one, or a line that is no problem.
    """
    try:
        lines = decoded(path.read_bytes(), str(path)).split("\n")  # other ends of lines may stand in JSON's strings
    except OSError as error:
        raise UsageError(f"can't read problems from {path}: {error}", hint="name a JSON Lines file") from error
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            problems.append(_problem(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{path}, line {number}: not a problem ({error})",
                hint='expected {"id": …, "family": …, "language": …, "prompt": …, "answer": …}',
            ) from error
    if not problems:
        raise UsageError(f"{path} holds no problems")
    return tuple(problems)


def _problem(fields: object) -> Problem:
    """
    Raises:
        ValueError: it has other fields, or other things in them than text and numbers.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"no object but {type(fields).__name__}")
    found = {}
    for name in ("id", "family", "language", "prompt", "answer"):
        value = fields.get(name)
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise ValueError(f"no {name}" if name not in fields else f"{name} is {json.dumps(value)[:40]}, not text")
        found[name] = str(value)
    return Problem(**found)
