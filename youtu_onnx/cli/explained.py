"""An explanation on a terminal: steps with their marks, what is saved, and a map of tokens by layers."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from youtu_onnx.cli import console
from youtu_onnx.explain.explanation import Explanation
from youtu_onnx.explain.kept import KEPT, LEFT, WITHIN, Kept
from youtu_onnx.explain.steps import MARKS, Asked, Step, Steps
from youtu_onnx.explain.tokens import Token

STYLES = {True: "green", False: "red", None: "dim"}
SHADES = {KEPT: "blue", WITHIN: "cyan", LEFT: "dim"}
CELLS = {KEPT: "█", WITHIN: "▒", LEFT: "·"}
PLAIN_MARKS, PLAIN_CELLS = {True: "+", False: "x", None: "-"}, {KEPT: "#", WITHIN: "o", LEFT: "."}
"""Where the terminal's encoding has no others."""
EDGE = 13
"""Columns before the map: a layer's number and share."""
SMALLEST = 20


class View:
    """Prints to stdout."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        rich = console.stdout_is_utf8()
        self._marks, self._cells = (MARKS, CELLS) if rich else (PLAIN_MARKS, PLAIN_CELLS)

    def show(self, found: Explanation) -> None:
        self.question(found.prompt)
        for step in found.steps.lines:
            self.step(step)
        self.answer(found.steps.answer)
        self.facts(found)
        if found.kept is not None:
            self._map(found.kept, found.tokens)

    def question(self, text: str) -> None:
        for line in text.strip().splitlines():
            self._print(Text(f"> {console.printable(line)}", style="bold"))
        self._print(Text())

    def step(self, step: Step) -> None:
        self._print(Text.assemble("  ", self._mark(step), " ", console.printable(step.text)))

    def answer(self, step: Step) -> None:
        first, *rest = step.text.splitlines() or [""]
        shown = "\n    ".join([first, *rest])
        self._print(Text.assemble("\n", "  ", self._mark(step), " ", (console.printable(shown), "bold")))
        self._print(Text())

    def verdict(self, steps: Steps, asked: Asked | None, thinking: str) -> None:
        """What is to be said of the steps together, and of the answer to a problem."""
        self._fact("steps", _soundness(steps))
        if asked is not None:
            said = "right" if asked.right(steps.answer.text) else f"wrong: it is {asked.problem.answer!r}"
            stated = "" if asked.states(thinking) else "; the thought is about another one, or none"
            self._fact("problem", f"{asked.problem.family}, level {asked.level}, seed {asked.seed}; the answer is {said}{stated}")

    def facts(self, found: Explanation) -> None:
        self.verdict(found.steps, found.asked, found.thinking)
        if found.finish_reason == "length":
            self._fact("", "the reply is cut off: --max-tokens allows more")
        replied = sum(token.reply for token in found.tokens)
        self._fact("tokens", f"{len(found.tokens):,}: {len(found.tokens) - replied:,} of the prompt, {replied:,} of the reply")
        if (kept := found.kept) is None:
            self._fact("cache", "this model has no gates: every layer keeps all of them")
            return
        self._fact("pairs", f"{_of(sum(kept.pairs), kept.all_pairs)} attended")
        rows = _of(sum(kept.rows), kept.all_rows) if kept.form == "routed" else f"all {kept.all_rows:,}"
        self._fact("rows", f"{rows} cached{'' if kept.form == 'routed' else ' (a masked cache hides tokens, and drops none)'}")

    def _map(self, kept: Kept, tokens: tuple[Token, ...]) -> None:
        legend = ((KEPT, "in sight of all later tokens"), (WITHIN, f"within the window of {kept.window}"), (LEFT, "out of sight"))
        self._print(Text())
        parts = [Text.assemble((self._cells[state], SHADES[state]), f" {said}   ") for state, said in legend]
        self._print(Text.assemble(f"{'layer  kept':<{EDGE}}", *parts))
        across = max(SMALLEST, self.console.width - EDGE - 1)
        for start in range(0, kept.tokens, across):
            stop = min(start + across, kept.tokens)
            letters = [(self._letter(token), "" if token.reply else "dim") for token in tokens[start:stop]]
            self._print(Text.assemble(" " * EDGE, *letters))
            for layer, (share, states) in enumerate(zip(kept.shares, kept.states[:, start:stop].tolist(), strict=True)):
                row = [(self._cells[state], SHADES[state]) for state in states]
                self._print(Text.assemble(f"{layer:>5}  {share:>4.0%}  ", *row))

    def _letter(self, token: Token) -> str:
        """One column for a token: its first letter where that is one column wide."""
        first = console.printable(token.text.strip()[:1]) or "_"
        return first if cell_len(first) == 1 else "*"

    def _mark(self, step: Step) -> tuple[str, str]:
        return self._marks[step.valid], STYLES[step.valid]

    def _fact(self, name: str, value: str) -> None:
        self._print(Text(f"{name:<9} {value}"))

    def _print(self, text: Text) -> None:
        self.console.print(text)


def _soundness(steps: Steps) -> str:
    if steps.family is None:
        return f"{len(steps.lines)}; no verifier knows this notation" if steps.lines else "none that a verifier knows"
    every = (*steps.lines, steps.answer)
    return f"{sum(step.valid is True for step in every)} of {len(every)} valid, the answer included ({steps.family})"


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.0%})"
