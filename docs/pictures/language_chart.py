"""KL divergence over bits a weight, both sides' ways of storing a model, as plain SVG for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10

Point = tuple[str, str, float, float]
"""Side, name, bits a weight, mean KL divergence in nats."""

Dot = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 62, 24, 46, 48
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px } .small { fill: #59636e } .right { text-anchor: end } .mid { text-anchor: middle }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .f0 { fill: #1a7f37 } .f1 { fill: #8250df }
  .lead { stroke: #8c959f; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .f0 { fill: #3fb950 } .f1 { fill: #ab7df8 }
  }
"""


def language_picture(points: Sequence[Point], title: str = "What is lost of the language, by bits a weight") -> str:
    """The divergence's axis is logarithmic; down and to the left is better.

    Raises:
        ValueError: a divergence of 0, or no points.
    """
    if not points or min(kl for *_, kl in points) <= 0:
        raise ValueError("points have divergences above 0")
    sides = list(dict.fromkeys(side for side, *_ in points))
    low, high = floor(log10(min(kl for *_, kl in points))), ceil(log10(max(kl for *_, kl in points)))
    high = max(high, low + 1)
    first, last = floor(min(bits for *_, bits, _ in points)) - 1, ceil(max(bits for *_, bits, _ in points) + 0.2)
    last = max(last, first + 1)
    bottom, width = HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT

    def x(bits: float) -> float:
        return LEFT + width * (bits - first) / (last - first)

    def y(kl: float) -> float:
        return bottom - (bottom - TOP) * (log10(kl) - low) / (high - low)

    parts = [f'<text x="{LEFT}" y="20" class="title">{escape(title)}</text>']
    at = float(WIDTH - RIGHT)
    for index, side in reversed(list(enumerate(sides))):
        at -= 24 + 7.5 * len(side)
        parts.append(
            f'<circle class="f{index}" cx="{at:.1f}" cy="15" r="5"/><text x="{at + 10:.1f}" y="20">{escape(side)}</text>'
        )
    for power in range(low, high + 1):
        for factor in (1, 2, 5) if power < high else (1,):
            height = y(factor * 10.0**power)
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
                f'<text x="{LEFT - 8}" y="{height + 4:.1f}" class="small right">{factor * 10.0**power:g}</text>'
            )
    parts += [f'<text x="{x(bits):.1f}" y="{bottom + 20}" class="small mid">{bits}</text>' for bits in range(first, last + 1)]
    parts.append(f'<text x="{LEFT + width / 2:.1f}" y="{bottom + 38}" class="small mid">bits a weight</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 8}" class="small">mean KL divergence from the float model, nats</text>')
    dots = [(x(bits), y(kl)) for _, _, bits, kl in points]
    labels: list[Box] = []
    for (side, name, _, _), (at_x, at_y) in sorted(zip(points, dots, strict=True), key=lambda pair: pair[1][1]):
        index = sides.index(side)
        parts.append(f'<circle class="f{index}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="5"/>')
        parts.append(_label(name, at_x, at_y, dots, labels, index))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"<style>{STYLE}</style>\n{chr(10).join(parts)}\n</svg>\n"
    )


def _label(name: str, x: float, y: float, dots: Sequence[Dot], labels: list[Box], index: int) -> str:
    """Beside its dot, as near as other labels and dots let it: to the right or to the left, level or higher or lower. A line
    leads to one that isn't level."""
    length = 7.3 * len(name)
    box = min(_places(x, y, length), key=lambda place: (_meets(place, dots, labels), abs(place[1] + 9 - y)))
    labels.append(box)
    left, top, right, _ = box
    end = left - 2 if left > x else right + 2
    line = f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{top + 9:.1f}"/>'
    lead = "" if abs(top + 9 - y) < 7 else line
    return f'{lead}<text x="{left:.1f}" y="{top + 13:.1f}" class="f{index}">{escape(name)}</text>'


def _places(x: float, y: float, length: float) -> Iterator[Box]:
    """The level ones first."""
    for away in (0, 8, 16, 24, 32, 40, 48, 56, 64, 72):
        for top in dict.fromkeys((y - 9 - away, y - 9 + away)):
            for left in (x + 10 + away / 4, x - 10 - away / 4 - length):
                if left >= LEFT and left + length <= WIDTH - RIGHT and TOP <= top <= HEIGHT - BOTTOM - 18:
                    yield left, top, left + length, top + 17
    yield x + 10, y - 9, x + 10 + length, y + 8


def _meets(box: Box, dots: Sequence[Dot], labels: Sequence[Box]) -> bool:
    left, top, right, bottom = box
    on_dot = any(left - 6 < x < right + 6 and top - 3 < y < bottom + 3 for x, y in dots)
    return on_dot or any(left < end and start < right and top < low and high < bottom for start, high, end, low in labels)
