"""Tokens a second over context length, drawn as plain SVG that is readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Series = Mapping[str, Mapping[int, float]]
"""Tokens a second by length, for each side's name; the first one is drawn as ours."""

WIDTH, HEIGHT, TOP, BOTTOM, GAP, LABEL_HEIGHT = 760, 330, 76, 46, 56, 16
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px } .small { fill: #59636e } .right { text-anchor: end } .mid { text-anchor: middle }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
  .s0 { stroke: #1a7f37 } .s1 { stroke: #8250df } .f0 { fill: #1a7f37 } .f1 { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
    .s0 { stroke: #3fb950 } .s1 { stroke: #ab7df8 } .f0 { fill: #3fb950 } .f1 { fill: #ab7df8 }
  }
"""


def speed_picture(decode: Series, prefill: Series, subtitle: str = "") -> str:
    """Decode speed over the tokens in the cache, beside prefill speed over the prompt's length.

    A side that lacks a length has a gap in its line there.
    """
    panels = [
        (f"{title}, tokens a second", "tokens in the cache" if title == "Decode" else "tokens of the prompt", series)
        for title, series in (("Decode", decode), ("Prefill", prefill))
        if any(series.values())
    ]
    shares = [max(1.6, len(_lengths(series))) for _, _, series in panels]
    room = WIDTH - GAP * len(panels)
    parts = _legend(list(decode or prefill), subtitle)
    left: float = GAP
    for (title, axis, series), share in zip(panels, shares, strict=True):
        width = room * share / sum(shares)
        parts += _panel(left, width, title, axis, series)
        left += width + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"<style>{STYLE}</style>\n{chr(10).join(parts)}\n</svg>\n"
    )


def _legend(names: Sequence[str], subtitle: str) -> list[str]:
    parts, x = [], 2.0
    for index, name in enumerate(names):
        parts.append(
            f'<circle class="f{index}" cx="{x + 5:.1f}" cy="14" r="5"/>'
            f'<text x="{x + 16:.1f}" y="19" class="title">{escape(name)}</text>'
        )
        x += 40 + 8.5 * len(name)
    return [*parts, f'<text x="{WIDTH - 2}" y="19" class="small right">{escape(subtitle)}</text>']


def _panel(left: float, width: float, title: str, axis: str, series: Series) -> list[str]:
    """One diagram: equal steps between lengths, a scale from zero."""
    lengths = _lengths(series)
    step = _round_step(max(value for points in series.values() for value in points.values()))
    rows = range(5)
    floor, height = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP

    def x(length: int) -> float:
        return left + width * (lengths.index(length) + 0.5) / len(lengths)

    def y(value: float) -> float:
        return floor - height * value / (step * rows[-1])

    parts = [f'<text x="{left - 34:.1f}" y="{TOP - 26}" class="title">{title}</text>']
    for row in rows:
        at = y(row * step)
        parts.append(
            f'<line class="grid" x1="{left:.1f}" x2="{left + width:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{left - 8:.1f}" y="{at + 4:.1f}" class="small right">{row * step:g}</text>'
        )
    parts += [f'<text x="{x(length):.1f}" y="{floor + 20}" class="small mid">{length:,}</text>' for length in lengths]
    parts.append(f'<text x="{left + width / 2:.1f}" y="{floor + 38}" class="small mid">{axis}</text>')
    for index, points in enumerate(series.values()):
        parts += [
            f'<polyline class="line s{index}" points="{" ".join(f"{x(n):.1f},{y(points[n]):.1f}" for n in stretch)}"/>'
            for stretch in _stretches(lengths, points)
        ]
        parts += [f'<circle class="f{index}" cx="{x(n):.1f}" cy="{y(points[n]):.1f}" r="4"/>' for n in points]
    for length in lengths:
        values = {index: points[length] for index, points in enumerate(series.values()) if length in points}
        top = y(max(values.values()))
        for index, value in values.items():
            at = y(value) - 10 if y(value) == top else _lower_label(y(value), top, floor)
            parts.append(f'<text x="{x(length):.1f}" y="{at:.1f}" class="mid f{index}">{value:.3g}</text>')
    return parts


def _lower_label(height: float, top: float, floor: float) -> float:
    """Where the lower value's label stands: below its dot, or above it where that would run into the axis and there is room."""
    if height + LABEL_HEIGHT + 4 > floor and height - top > 2 * LABEL_HEIGHT - 4:
        return height - 10
    return height + LABEL_HEIGHT + 4


def _lengths(series: Series) -> list[int]:
    return sorted({length for points in series.values() for length in points})


def _stretches(lengths: Sequence[int], points: Mapping[int, float]) -> list[list[int]]:
    """Runs of neighbouring lengths that a side has values at."""
    found: list[list[int]] = [[]]
    for length in lengths:
        if length in points:
            found[-1].append(length)
        elif found[-1]:
            found.append([])
    return [stretch for stretch in found if len(stretch) > 1]


def _round_step(highest: float) -> float:
    """The round number of which four reach over the highest value and its label."""
    least, power = highest * 1.1 / 4, 0.001
    while power * 10 < least:
        power *= 10
    return next(power * digit for digit in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if power * digit >= least)
