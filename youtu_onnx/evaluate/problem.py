"""Problems with one right answer: a file has one JSON object a line, ``{"id", "family", "language", "prompt", "answer"}``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

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
