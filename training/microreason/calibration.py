"""Problems and their worked replies as chats, a family after the other: the text to calibrate an export on.

python -m training.microreason.calibration problems.jsonl
youtu-onnx export -m MODEL -o BUNDLE --algorithm gptq --calibration problems.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from random import Random

from training.common.conversation import reply_text
from youtu_onnx.problems import families

from .tasks import sample


def chats(count: int, seed: str) -> list[dict[str, object]]:
    """Of training's problems at full length; none that is held out."""
    rng, out = Random(seed), list[dict[str, object]]()
    for number in range(count):
        problem = sample(rng, 1.0, families.MEASURED[number % len(families.MEASURED)])
        said = {"role": "assistant", "content": reply_text(problem)}
        out.append({"messages": [{"role": "user", "content": problem.prompt}, said]})
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a .jsonl that is written anew")
    parser.add_argument("--count", type=int, default=600, help="problems")
    parser.add_argument("--seed", default="calibration")
    args = parser.parse_args()
    lines = (json.dumps(chat, ensure_ascii=False) + "\n" for chat in chats(args.count, args.seed))
    args.file.write_text("".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
