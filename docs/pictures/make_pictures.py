"""Draw the README's pictures from what the code says: ``python -m docs.pictures.make_pictures``.

``cache.svg`` from the cache layouts of Youtu-LLM-2B's shape; ``demo.svg`` from a real run of ``youtu-onnx demo``.
``speed.svg`` takes hours of measuring: ``python -m benchmarks.against_llama_cpp`` draws it, with ``speed_chart``.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchmarks.shapes import YOUTU_LLM_2B
from youtu_onnx.families.youtu.cache import cache_layout

HERE = Path(__file__).parent
WIDTH, BAR, GAP, LEFT = 720, 30, 22, 210
STYLE = """
  text { font: 15px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 17px } .small { font-size: 13px; fill: #59636e }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } }
"""


def cache_picture() -> str:
    """Bars of KiB per token: expanded and latent, float16, with what a full context of 128K tokens takes."""
    rows = []
    for form, colour, label in (("expanded", "#8c959f", "expanded K and V"), ("latent", "#1a7f37", "latent (youtu-onnx)")):
        layout = cache_layout(YOUTU_LLM_2B, form, "float16")
        rows.append((label, layout.bytes_per_token, colour))
    longest = max(size for _, size, _ in rows)
    parts = ['<text x="0" y="20" class="title">Cache of Youtu-LLM-2B, float16, per token</text>']
    for index, (label, size, colour) in enumerate(rows):
        y = 42 + index * (BAR + GAP)
        length = (WIDTH - LEFT - 190) * size / longest
        full = size * YOUTU_LLM_2B.max_position_embeddings / 2**30
        parts.append(f'<text x="0" y="{y + 20}">{label}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + length + 10:.1f}" y="{y + 14}">{size / 1024:.0f} KiB</text>')
        parts.append(f'<text x="{LEFT + length + 10:.1f}" y="{y + 30}" class="small">{full:.1f} GiB at 128K tokens</text>')
    height = 42 + len(rows) * (BAR + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


def demo_picture() -> str:
    """A terminal with the output of the demo, as it ran here."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-m", "youtu_onnx.cli", "demo"],
            cwd=folder,
            text=True,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        shown = run.stdout.replace(str(Path(folder).resolve()), "~").replace(f"{Path(sys.executable).parent}/", "")
    console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ python3 quickstart.py demo", style="bold"))
    console.print(Text(shown.strip()))
    return console.export_svg(title="youtu-onnx demo", unique_id="demo")


if __name__ == "__main__":
    (HERE / "cache.svg").write_text(cache_picture(), encoding="utf-8")
    (HERE / "demo.svg").write_text(demo_picture(), encoding="utf-8")
    print("wrote cache.svg and demo.svg")
