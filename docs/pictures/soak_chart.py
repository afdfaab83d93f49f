"""A server's memory over its answers, drawn as plain SVG that is readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 260, 60, 16, 50, 46
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px } .small { fill: #59636e } .right { text-anchor: end } .mid { text-anchor: middle }
  .grid { stroke: #d1d9e0 } .line { fill: none; stroke: #1a7f37; stroke-width: 2; stroke-linejoin: round }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .line { stroke: #3fb950 }
  }
"""


def memory_picture(points: Sequence[tuple[int, float]]) -> str:
    """``points``: answers so far, and megabytes. The scale begins at zero."""
    most, step = points[-1][0] or 1, 50.0
    while step * 5 < max(memory for _, memory in points) * 1.05:
        step *= 2
    floor, width, height = HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP

    def x(answers: float) -> float:
        return LEFT + width * answers / most

    def y(memory: float) -> float:
        return floor - height * memory / (5 * step)

    parts = ['<text x="2" y="20" class="title">Memory of the server\'s own, MB</text>']
    for row in range(6):
        at = y(row * step)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" class="small right">{row * step:g}</text>'
        )
    apart = next(first * 10**power for power in range(12) for first in (1, 2, 5) if first * 10**power >= most / 5)
    parts += [
        f'<text x="{x(answers):.1f}" y="{floor + 20}" class="small mid">{answers:,}</text>'
        for answers in range(0, most + 1, apart)
    ]
    parts.append(f'<text x="{LEFT + width / 2:.1f}" y="{floor + 38}" class="small mid">answers</text>')
    parts.append(f'<polyline class="line" points="{" ".join(f"{x(a):.1f},{y(m):.1f}" for a, m in points)}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"<style>{STYLE}</style>\n{chr(10).join(parts)}\n</svg>\n"
    )
