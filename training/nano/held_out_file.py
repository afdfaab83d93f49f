"""Writes the fixed held-out problems that ship with the model.

    python -m training.nano.held_out_file youtu_onnx/models/youtu_nano/heldout.jsonl

``--each 200 --seed 1`` makes a file of 2,000 others.

A line is {"id", "family", "language", "prompt", "answer"}. A reply is right when the text after
its `</think>` (or all of it, where there is none), stripped, equals `answer`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from youtu_onnx.problems.problem import LANGUAGES

from .tasks import MEASURED, held_out

EACH = 30  # of every family in every language: 300 problems of the file that ships
SEED = 2026


def lines(each: int = EACH, seed: int = SEED) -> list[str]:
    out = []
    for family in MEASURED:
        for language in LANGUAGES:
            for number, problem in enumerate(held_out(family, each, seed, language)):
                row = {
                    "id": f"{family}-{language}-{number:02d}",
                    "family": family,
                    "language": language,
                    "prompt": problem.prompt,
                    "answer": problem.answer,
                }
                out.append(json.dumps(row, ensure_ascii=False))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--each", type=int, default=EACH, help="of every family in each of the two languages")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    args.output.write_text("\n".join(lines(args.each, args.seed)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
