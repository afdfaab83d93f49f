"""Progress on stderr: a bar on a terminal, a line for each finished stage elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from youtu_onnx.cli import console
from youtu_onnx.core.machine import resident_bytes
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.sizes import decimal

LINE_EVERY = 10.0
"""Seconds between lines of one long stage where there is no terminal."""


def progress(*, bar: bool = True) -> Progress:
    """What commands hand to long work; with ``bar=False`` lines everywhere."""
    return _BarProgress() if bar and sys.stderr.isatty() else _LineProgress()


class _LineProgress:
    """``weights … 1.16 GB done in 10.2 s, 0.43 GB resident``; a long stage also says how far it is."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._started = self._spoken = 0.0
        self._done, self._total, self._unit = 0, 0, "B"

    def begin(self, stage: str, total: int | None = None, unit: str = "B") -> None:
        self.finish()
        self._stage, self._started = stage, time.perf_counter()
        self._spoken, self._done, self._total, self._unit = self._started, 0, total or 0, unit

    def advance(self, amount: int, *, speak: bool = True) -> None:
        self._done += amount
        now = time.perf_counter()
        if speak and now - self._spoken >= LINE_EVERY:
            self._spoken = now
            of = f" of {_amount(self._total, self._unit)}" if self._total else ""
            left = _left(self._done, self._total, now - self._started)
            console.note(f"{self._stage} … {_amount(self._done, self._unit)}{of}{left}, {_resident()}")

    def note(self, text: str) -> None:
        console.note(text)

    def finish(self) -> None:
        if self._stage is not None:
            seconds = time.perf_counter() - self._started
            amount = f"{_amount(self._done, self._unit)} " if self._done else ""
            console.note(f"{self._stage} … {amount}done in {seconds:.1f} s, {_resident()}")
            self._stage = None


class _BarProgress:
    """One line that moves: stage, bar, amount, elapsed time, resident memory; finished stages stay above it."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._task = TaskID(0)
        self._lines = _LineProgress()

    def begin(self, stage: str, total: int | None = None, unit: str = "B") -> None:
        self.finish()
        self._lines.begin(stage, total, unit)
        self._bars = bars(unit)
        console.show(self._bars)
        self._bars.start()
        self._task = self._bars.add_task(stage, total=total)

    def advance(self, amount: int) -> None:
        self._lines.advance(amount, speak=False)
        if self._bars is not None:
            self._bars.advance(self._task, amount)

    def note(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            console.note(text)

    def finish(self) -> None:
        console.clear()
        self._bars = None
        self._lines.finish()


class _Memory(ProgressColumn):
    max_refresh = 0.5

    def render(self, task: Any) -> Text:
        return Text(_resident())


def bars(unit: str) -> Bars:
    """A line that moves, and that is gone when it is stopped."""
    amount = [DownloadColumn()] if unit == "B" else [MofNCompleteColumn(), TextColumn(unit)]
    # transient: the finished stage's line takes the bar's place
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *amount,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        _Memory(),
        console=Console(stderr=True),
        transient=True,
    )


def _amount(number: int, unit: str) -> str:
    """``1.16 GB``, ``3.1 MB``, ``482 tok``."""
    if unit != "B":
        return f"{number:,} {unit}"
    return decimal(number)


def _left(done: int, total: int, seconds: float) -> str:
    """``, about 3 min left`` at the pace so far; nothing where that is no minute any more, or not known."""
    minutes = (total - done) * seconds / done / 60 if done else 0.0
    return f", about {minutes:.0f} min left" if minutes >= 1 else ""


def _resident() -> str:
    return f"{resident_bytes() / 1e9:.2f} GB resident"
