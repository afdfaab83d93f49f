"""Draw ``layers.svg``, the rooms of the house: ``python -m docs.pictures.layers_picture``.

The layers are those of the contract in ``pyproject.toml``, and what stands in a room is the first sentence of its docstring: the
picture can't say anything else than what the linter holds.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BESIDE = ("exporters", "runtimes")
"""Rooms that lie beside ``youtu_onnx`` in the repository."""
WIDTH, GAP, LINE = 960, 30, 17
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 } .name { font-weight: 600; font-size: 16px }
  .says { fill: #59636e } rect { fill: #f6f8fa; stroke: #8c959f } path { stroke: #8c959f; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .says { fill: #9198a1 } rect { fill: #151b23; stroke: #656c76 } path { stroke: #656c76 }
  }
"""


def layers() -> list[list[str]]:
    """Names of rooms, layer by layer, the highest first."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [one for one in found["tool"]["importlinter"]["contracts"] if one.get("containers") == ["youtu_onnx"]]
    return [[name.strip() for name in re.split(r"[|:]", layer)] for layer in contract["layers"] if layer != "__main__"]


def sentence(room: str) -> str:
    """The first sentence of a room's docstring."""
    folder = ROOT / room if room in BESIDE else ROOT / "youtu_onnx" / room
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s", " ".join(said.split()).replace("``", ""))[0]


def picture() -> str:
    parts, y = [], 0
    rows = layers()
    for rooms in rows:
        width = (WIDTH - GAP // 2 * (len(rooms) - 1)) / len(rooms)
        said = [textwrap.wrap(sentence(room), int(width / 7.1) - 2) for room in rooms]
        height = 40 + LINE * max(map(len, said))
        for number, (room, lines) in enumerate(zip(rooms, said, strict=True)):
            x = number * (width + GAP // 2)
            parts.append(f'<rect x="{x + 1:.0f}" y="{y + 1}" width="{width - 2:.0f}" height="{height - 2}" rx="6"/>')
            parts.append(f'<text class="name" x="{x + 12:.0f}" y="{y + 24}">{escape(room)}</text>')
            for line, text in enumerate(lines):
                parts.append(f'<text class="says" x="{x + 12:.0f}" y="{y + 43 + line * LINE}">{escape(text)}</text>')
        y += height + GAP
        if rooms is not rows[-1]:
            parts.append(f'<path d="M{WIDTH / 2} {y - GAP + 4} V{y - 4} m-6 -7 l6 7 l6 -7"/>')
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y - GAP}" role="img">',
        "<title>Layers: each room imports only what is below it</title>",
        f"<style>{STYLE}</style>",
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    (HERE / "layers.svg").write_text(picture(), encoding="utf-8")
