"""What layers kept, as a picture: tokens along one axis and layers along the other, in lines that follow each other."""

from __future__ import annotations

import re
from html import escape
from itertools import groupby

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.explain.explanation import Explanation
from youtu_onnx.explain.kept import KEPT, LEFT, WITHIN, Kept
from youtu_onnx.explain.tokens import Token
from youtu_onnx.explain.watched import gates_of

CELL, ROW = 11, 9
"""Width of a token and height of a layer."""
ACROSS = 84
"""Tokens of a line."""
LEFT_EDGE, HEAD, NAMES, GAP = 34, 62, 58, 14
"""Pixels for the layers' numbers, above all, below each line for the tokens' texts, and between lines."""
LONGEST = 9
"""Characters of a token that are shown."""
CLASSES = {KEPT: "kept", WITHIN: "within"}
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 14px }
  .faint { fill: #59636e } .layer { font-size: 8px; fill: #59636e; text-anchor: end }
  .token { font: 8px ui-monospace, monospace; fill: #59636e; text-anchor: end } .reply { fill: #0550ae }
  .left { fill: #eaeef2 } .kept { fill: #0969da } .within { fill: #8dbdf5 } .begin { stroke: #cf222e; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .faint, .layer, .token { fill: #9198a1 } .reply { fill: #79c0ff }
    .left { fill: #21262d } .kept { fill: #58a6ff } .within { fill: #285a97 } .begin { stroke: #ff7b72 }
  }
"""
_UNSEEN = {"\n": "⏎", "\t": "⇥", " ": "␣"}
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def no_gates() -> UsageError:
    return UsageError(
        "this model has no gates: every layer keeps every token, and there is nothing to draw",
        hint="drop --svg, or explain a MicroReason bundle whose gates are in use",
    )


def check_gates(bundle: Bundle) -> None:
    """
    Raises:
        UsageError: there will be nothing to draw.
    """
    if gates_of(bundle) is None:
        raise no_gates()


def svg(explanation: Explanation) -> str:
    """
    Raises:
        UsageError: the model has no gates.
    """
    kept = explanation.kept
    if kept is None:
        raise no_gates()
    lines = [range(start, min(start + ACROSS, kept.tokens)) for start in range(0, kept.tokens, ACROSS)]
    height = NAMES + kept.layers * ROW + GAP
    parts = [*_head(kept)]
    for number, places in enumerate(lines):
        parts += _line(kept, explanation.tokens, places, HEAD + number * height)
    width = LEFT_EDGE + CELL * max(min(ACROSS, kept.tokens), 50) + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEAD + height * len(lines)}" role="img">',
            f"<title>{escape(summary(kept))}</title>",
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def summary(kept: Kept) -> str:
    """What is saved, in a sentence."""
    seen = f"{sum(kept.pairs) / kept.all_pairs:.0%} of the pairs of tokens are attended"
    if kept.form == "masked":
        return f"{seen}; a masked cache has a row for each token"
    return f"{seen}, {sum(kept.rows) / kept.all_rows:.0%} of the rows are cached"


def _head(kept: Kept) -> list[str]:
    title = escape(f"{kept.tokens} tokens, {kept.layers} layers: {summary(kept)}")
    parts = [f'<text class="title" x="{LEFT_EDGE}" y="18">{title}</text>']
    x = LEFT_EDGE
    for name, said in (
        ("kept", "in sight of all later tokens"),
        ("within", f"within the window of {kept.window}, at the end"),
        ("left", "out of sight"),
    ):
        parts.append(f'<rect class="{name}" x="{x}" y="29" width="10" height="10"/>')
        parts.append(f'<text class="faint" x="{x + 15}" y="38">{said}</text>')
        x += 30 + 7 * len(said)
    return parts


def _line(kept: Kept, tokens: tuple[Token, ...], places: range, top: int) -> list[str]:
    width = CELL * len(places)
    parts = [f'<rect class="left" x="{LEFT_EDGE}" y="{top}" width="{width}" height="{kept.layers * ROW - 1}"/>']
    paths: dict[int, list[str]] = {state: [] for state in CLASSES}
    for layer, states in enumerate(kept.states[:, places.start : places.stop].tolist()):
        x, y = LEFT_EDGE, top + layer * ROW
        parts.append(f'<text class="layer" x="{LEFT_EDGE - 5}" y="{y + 7}">{layer}</text>')
        for state, run in groupby(states):
            length = CELL * len(list(run))
            if state != LEFT:
                paths[state].append(f"M{x} {y}h{length}v{ROW - 1}h-{length}z")
            x += length
    parts += [f'<path class="{CLASSES[state]}" d="{"".join(drawn)}"/>' for state, drawn in paths.items() if drawn]
    bottom = top + kept.layers * ROW
    for column, place in enumerate(places):
        x = LEFT_EDGE + CELL * column
        token = tokens[place]
        shade = "token reply" if token.reply else "token"
        turned = f'transform="translate({x + 8} {bottom + 4}) rotate(-90)"'
        parts.append(f'<text class="{shade}" {turned}>{escape(label(token.text))}</text>')
        if token.reply and place and not tokens[place - 1].reply:
            parts.append(f'<path class="begin" d="M{x - 0.5} {top - 3}V{bottom + 2}"/>')
    return parts


def label(text: str) -> str:
    """A token's text for a picture: white space is shown where there is nothing else, and nothing that XML can't say."""
    shown = "".join(_UNSEEN.get(c, c) for c in text) if not text.strip() else text.strip()
    shown = _NO_XML.sub("\ufffd", " ".join(shown.split()))
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
