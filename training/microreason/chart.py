"""How exact replies stay when gates keep less or more: thresholds moved, dialogues of 256 to 512 tokens; JSON and an SVG.

    python -m training.microreason.chart ~/.cache/youtu-onnx/microreason/stage3/model --svg kept.svg

Each point is the same model with all gates' scores moved (`thresholds.py` does so for good). An exact reply has no wrong token
where each is told the true path before it (`survey.py`), which is quick; `measure.py` has answers. Below the curve: what each
layer keeps as the model is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from training.common.svg import framed

from . import package, survey, thresholds
from .lessons import Lesson
from .model import MicroReasonForCausalLM
from .own_chains import LONGEST, SHORTEST

SHIFTS = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 50.0)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, MIDDLE, BOTTOM = 760, 420, 60, 32, 44, 250, 378
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px } .small { fill: #59636e } .right { text-anchor: end } .mid { text-anchor: middle }
  .grid { stroke: #d1d9e0 } .line { fill: none; stroke: #1a7f37; stroke-width: 2 } .dot, .bar { fill: #1a7f37 }
  .own { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .line { stroke: #3fb950 }
    .dot, .bar { fill: #3fb950 } .own { fill: #db6d28 }
  }
"""


@dataclass(frozen=True)
class Point:
    """Shares, 0 to 1, of a model whose gates are shifted: attended pairs kept (on average and by layer), rows, exact replies."""

    shift: float
    pairs: float
    rows: float
    exact: float
    by_layer: tuple[float, ...]


def points(model: MicroReasonForCausalLM, lessons: Sequence[Lesson], shifts: Sequence[float] = SHIFTS) -> list[Point]:
    """The model is as it was afterwards."""
    found = list[Point]()
    for shift in shifts:
        with thresholds.moved(model, shift):
            seen = survey.survey(model, lessons, SHORTEST)
        pairs, rows = (1 - sum(x) / len(x) for x in (seen.pairs_saved, seen.rows_saved))
        found.append(Point(shift, pairs, rows, seen.exact["all"], tuple(1 - x for x in seen.pairs_saved)))
    return found


def picture(given: Sequence[Point]) -> str:
    width, curve = WIDTH - LEFT - RIGHT, MIDDLE - TOP

    def x(share: float) -> float:
        return LEFT + width * share

    def y(share: float) -> float:
        return MIDDLE - curve * share

    parts = ['<text x="2" y="20" class="title">Exact replies against the share of attended pairs that gates keep</text>']
    for tenth in range(0, 11, 2):
        share = tenth / 10
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(share) + 4:.1f}" class="small right">{100 * share:.0f} %</text>')
        parts.append(f'<text x="{x(share):.1f}" y="{MIDDLE + 18}" class="small mid">{100 * share:.0f} %</text>')
    line = sorted((p.pairs, p.exact) for p in given)
    parts.append(f'<polyline class="line" points="{" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)}"/>')
    for p in given:
        kind = "own" if p.shift == 0 else "dot"
        parts.append(f'<circle class="{kind}" cx="{x(p.pairs):.1f}" cy="{y(p.exact):.1f}" r="4"/>')
    own = min(given, key=lambda p: abs(p.shift))
    parts.append(f'<text x="2" y="{MIDDLE + 46}" class="small">Kept by layer as the model is (the orange point)</text>')
    wide, tall, floor = width / len(own.by_layer), 62, BOTTOM
    for layer, share in enumerate(own.by_layer):
        left, height = LEFT + wide * layer, tall * share
        parts.append(
            f'<rect class="bar" x="{left + 2:.1f}" y="{floor - height:.1f}" width="{wide - 4:.1f}" height="{height:.1f}"/>'
        )
        parts.append(f'<text x="{left + wide / 2:.1f}" y="{floor + 16}" class="small mid">{layer}</text>')
        parts.append(f'<text x="{left + wide / 2:.1f}" y="{floor + 32}" class="small mid">{100 * share:.0f} %</text>')
    return framed(WIDTH, HEIGHT, STYLE, parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=20, help="problems of each family")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--svg", type=Path, help="where the picture goes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, words = package.load(args.model)
    asked = survey.lessons(survey.dialogues(words, args.count, args.seed, LONGEST), LONGEST)
    found = points(model, asked)
    print(json.dumps([asdict(p) for p in found], indent=2))
    if args.svg:
        args.svg.write_text(picture(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
