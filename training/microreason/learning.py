"""What training so far has brought, and what more would: held-out answers over the tokens that stage 1 learned from, as an SVG.

    python -m training.microreason.learning ~/.cache/youtu-onnx/microreason/log.jsonl --svg learning.svg

Points are the measurements of a run's log, by family; the dotted line goes on where the last two leave off, in logits over the
logarithm of tokens, as far as twice and four times as many.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from training.common.svg import framed

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, LINE = 760, 400, 56, 150, 44, 50, 15
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px } .small { fill: #59636e; font-size: 12px } .right { text-anchor: end }
  .mid { text-anchor: middle } .grid { stroke: #d1d9e0 } .family { fill: none; stroke: #8c959f; stroke-width: 1 }
  .all { fill: none; stroke: #1a7f37; stroke-width: 2.5 } .dotted { stroke-dasharray: 3 4 } .dot, .own { fill: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .family { stroke: #656c76 }
    .all { stroke: #3fb950 } .dot, .own { fill: #3fb950 }
  }
"""
FURTHER = 4  # times as many tokens as the last measurement
SURE = 0.02  # answers of few problems are nowhere nearer to none or all than this, where logits are taken


@dataclass(frozen=True)
class Measured:
    """Shares of right answers, 0 to 1, by family and for "all", after so many tokens and hours."""

    tokens: int
    hours: float
    correct: dict[str, float]


def measurements(log: str) -> list[Measured]:
    """Of a stage's log, JSON Lines; the first one without any tokens is left out."""
    lines = [json.loads(line) for line in log.splitlines()]
    return [
        Measured(one["tokens"], one["hours"], {name: percent / 100 for name, percent in one["correct"].items()})
        for one in lines
        if one["kind"] == "accuracy" and one["tokens"] and "correct" in one
    ]


def expected(before: Measured, last: Measured, tokens: float) -> float:
    """The share of all answers after ``tokens``, if logits go on in the logarithm of tokens as between two measurements."""

    def logit(share: float) -> float:
        bounded = min(1 - SURE, max(SURE, share))
        return math.log(bounded / (1 - bounded))

    first, second = logit(before.correct["all"]), logit(last.correct["all"])
    slope = (second - first) / math.log(last.tokens / before.tokens)
    return 1 / (1 + math.exp(-second - slope * math.log(tokens / last.tokens)))


def picture(given: Sequence[Measured]) -> str:
    """At least two measurements."""
    last, least = given[-1], given[0].tokens
    width, floor = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM
    decades = math.log(FURTHER * last.tokens / least)

    def x(tokens: float) -> float:
        return LEFT + width * math.log(tokens / least) / decades

    def y(share: float) -> float:
        return floor - (floor - TOP) * share

    def line(kind: str, points: Sequence[tuple[float, float]]) -> str:
        return f'<polyline class="{kind}" points="{" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)}"/>'

    parts = ['<text x="2" y="20" class="title">Right answers to held-out problems, over millions of tokens learned from</text>']
    for tenth in range(0, 11, 2):
        at = y(tenth / 10)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + width}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" class="small right">{10 * tenth} %</text>')
    further = [last.tokens * FURTHER ** (step / 8) for step in range(9)]
    placed = list[float]()  # the last measurement's label first: those before it may have no room
    for tokens in (last.tokens, further[4], further[8], *(one.tokens for one in given[:-1])):
        if all(abs(x(tokens) - other) > 32 for other in placed):
            placed.append(x(tokens))
            parts.append(f'<text x="{x(tokens):.1f}" y="{floor + 20}" class="small mid">{tokens / 1e6:.1f}</text>')
    names = sorted((name for name in last.correct if name != "all"), key=lambda name: -last.correct[name])
    parts += [line("family", [(one.tokens, one.correct[name]) for one in given]) for name in names]
    parts.append(line("all", [(one.tokens, one.correct["all"]) for one in given]))
    parts.append(line("all dotted", [(tokens, expected(given[-2], last, tokens)) for tokens in further]))
    parts += [f'<circle class="dot" cx="{x(one.tokens):.1f}" cy="{y(one.correct["all"]):.1f}" r="4"/>' for one in given]
    parts.append(f'<text x="{LEFT + width + 12}" y="{TOP + 4}" class="own">all: {100 * last.correct["all"]:.0f} %</text>')
    for place, name in enumerate(names, start=1):
        words = f"{escape(name.replace('_', ' '))}: {100 * last.correct[name]:.0f} %"
        parts.append(f'<text x="{LEFT + width + 12}" y="{TOP + 8 + LINE * place}" class="small">{words}</text>')
    words = f"Dotted: as between the last two measurements, for more tokens. The last one after {last.hours:.2f} hours."
    parts.append(f'<text x="2" y="{HEIGHT - 8}" class="small">{words}</text>')
    return framed(WIDTH, HEIGHT, STYLE, parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--svg", type=Path, help="where the picture goes")
    args = parser.parse_args()
    found = measurements(args.log.read_text(encoding="utf-8"))
    if len(found) < 2:
        parser.error(f"{args.log} has {len(found)} measurements; the picture needs two (they come every 20 minutes of training)")
    print("\n".join(f"{one.tokens:>12,} tokens, {one.hours:.2f} h: {100 * one.correct['all']:.1f} %" for one in found))
    more = ", ".join(f"{times} times: {100 * expected(found[-2], found[-1], times * found[-1].tokens):.0f} %" for times in (2, 4))
    print(f"going on so, with more tokens by {more}")
    if args.svg:
        args.svg.write_text(picture(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
