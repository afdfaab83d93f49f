"""What commands print with: error messages, safe streams, and progress.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.core.progress import Progress

_UNPRINTABLE = {code: "\ufffd" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}


def make_streams_safe() -> None:
    """Print what a terminal's encoding lacks as ``?`` instead of failing; read broken bytes as U+FFFD."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def drop_stdout() -> None:
    """Give stdout nowhere to go, so that the interpreter's last flush can't fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        sys.stdout = None  # type: ignore[assignment]


def fail(failure: YoutuOnnxError) -> int:
    """Tell the user; the exit code."""
    error(failure.message, failure.hint)
    return failure.exit_code


def error(message: str, hint: str | None = None) -> None:
    stop_progress()
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"  hint: {hint}", file=sys.stderr)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """A model's text for a terminal: control characters, which could move the cursor or worse, become U+FFFD."""
    return text.translate(_UNPRINTABLE)


def program() -> str:
    """How to call this program again: by its name where the shell finds it, else by its path, as in quickstart.py's .venv."""
    found = shutil.which("youtu-onnx")
    beside = shutil.which("youtu-onnx", path=str(Path(sys.executable).parent))
    return "youtu-onnx" if found or not beside else quoted(beside)


def quoted(path: str | Path) -> str:
    """A path as one would type it in this system's shell."""
    text = str(path)
    return (f'"{text}"' if " " in text else text) if os.name == "nt" else shlex.quote(text)


def stdout_is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def progress(*, bar: bool = True) -> Progress:
    """Progress on stderr: a bar on a terminal, a line for each finished stage elsewhere, or with ``bar=False`` everywhere."""
    return _BarProgress() if bar and sys.stderr.isatty() else _LineProgress()


def stop_progress() -> None:
    """Take away the bar of work that was broken off, which else would hide the cursor and overwrite what follows."""
    if _BarProgress.running is not None:
        _BarProgress.running.stop()
        _BarProgress.running = None


LINE_EVERY = 10.0
"""Seconds between lines of one long stage where there is no terminal."""


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
            note(f"{self._stage} … {_amount(self._done, self._unit)}{of}, {resident_bytes() / 1e9:.2f} GB resident")

    def note(self, text: str) -> None:
        note(text)

    def finish(self) -> None:
        if self._stage is not None:
            seconds = time.perf_counter() - self._started
            amount = f"{_amount(self._done, self._unit)} " if self._done else ""
            note(f"{self._stage} … {amount}done in {seconds:.1f} s, {resident_bytes() / 1e9:.2f} GB resident")
            self._stage = None


class _BarProgress:
    """One line that moves: stage, bar, amount, elapsed time, resident memory; finished stages stay above it."""

    running: ClassVar[Any] = None
    """rich's display, while one is on the screen; a terminal has room for one."""

    def __init__(self) -> None:
        self._task: Any = None
        self._lines = _LineProgress()

    def begin(self, stage: str, total: int | None = None, unit: str = "B") -> None:
        self.finish()
        self._lines.begin(stage, total, unit)
        _BarProgress.running = _bars(unit)
        _BarProgress.running.start()
        self._task = _BarProgress.running.add_task(stage, total=total)

    def advance(self, amount: int) -> None:
        self._lines.advance(amount, speak=False)
        if _BarProgress.running is not None:
            _BarProgress.running.advance(self._task, amount)

    def note(self, text: str) -> None:
        if _BarProgress.running is not None:
            _BarProgress.running.console.print(text, markup=False, highlight=False)
        else:
            note(text)

    def finish(self) -> None:
        stop_progress()
        self._lines.finish()


def _amount(number: int, unit: str) -> str:
    """``1.16 GB``, ``3.1 MB``, ``482 tok``."""
    if unit != "B":
        return f"{number:,} {unit}"
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _bars(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Memory(ProgressColumn):
        max_refresh = 0.5

        def render(self, task: Any) -> Text:
            return Text(f"{resident_bytes() / 1e9:.2f} GB resident")

    amount: list[ProgressColumn] = [DownloadColumn()] if unit == "B" else [MofNCompleteColumn(), TextColumn(unit)]
    # transient: the finished stage's line takes the bar's place
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *amount,
        TimeElapsedColumn(),
        Memory(),
        console=Console(stderr=True),
        transient=True,
    )


def resident_bytes() -> int:
    from youtu_onnx.core import machine  # not at the top: psutil is slow to load, and most commands print no progress

    return machine.resident_bytes()
