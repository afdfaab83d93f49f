"""Writes problems of the training as chats, what `youtu-onnx export --calibration` measures youtu-nano's inputs on.

    python -m training.nano.chats_file chats.jsonl

A line is {"messages": [user, assistant]}; the reply has its derivation between think tags. None of them is held out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from random import Random

from training.common.conversation import reply_text

from .tasks import sample

SEED = 2026


def lines(count: int, seed: int = SEED) -> list[str]:
    rng = Random(seed)
    out = []
    for _ in range(count):
        problem = sample(rng)
        chat = [{"role": "user", "content": problem.prompt}, {"role": "assistant", "content": reply_text(problem)}]
        out.append(json.dumps({"messages": chat}, ensure_ascii=False))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=400, help="of chats; 400 have some 20,000 tokens")
    args = parser.parse_args()
    args.output.write_text("\n".join(lines(args.count)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
