"""A sign of life while a long prompt is read."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import Progress, TaskID

from youtu_onnx.chat.generation import Generation
from youtu_onnx.cli import console
from youtu_onnx.cli.progress import LINE_EVERY, bars
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK

STAGE = "reading the prompt"


@contextmanager
def prompt_progress(reply: Generation) -> Iterator[None]:
    """Say on stderr how far a reply's prompt is read: with a bar on a terminal, in a line now and then elsewhere.

    A prompt that is read in one step is read in silence.
    """
    shown = _Shown()
    reply.on_prompt = shown.told
    try:
        yield
    finally:
        shown.end()


class _Shown:
    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._task = TaskID(0)
        self._spoken = time.perf_counter()

    def told(self, done: int, total: int) -> None:
        if done >= total:
            self.end()
        elif self._bars is not None:
            self._bars.update(self._task, completed=done)
        elif sys.stderr.isatty():
            if total - done > PREFILL_CHUNK:
                self._begin(done, total)
        elif time.perf_counter() - self._spoken >= LINE_EVERY:
            self._spoken = time.perf_counter()
            console.note(f"{STAGE} … {done:,} of {total:,} tokens")

    def _begin(self, done: int, total: int) -> None:
        self._bars = bars("tokens")
        console.show(self._bars)
        self._bars.start()
        self._task = self._bars.add_task(STAGE, total=total, completed=done)

    def end(self) -> None:
        if self._bars is not None:
            console.clear()
            self._bars = None
