"""``youtu-onnx chat`` on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli_process import ROOT

ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")
"""How a program tells a terminal to move its cursor, to change colours, and to say when something is pasted."""


class Terminal:
    """A chat on a pseudo-terminal. What it shows is remembered without escape sequences."""

    def __init__(self, bundle: Path, *options: str, state: Path | None = None) -> None:
        self.master, slave = pytest.importorskip("pty", reason="needs a Unix terminal").openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "youtu_onnx.cli", "chat", bundle, *options, *(["--no-history"] if state is None else [])],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={
                **os.environ,
                "TERM": "xterm",
                "PYTHONUTF8": "1",
                "PROMPT_TOOLKIT_NO_CPR": "1",
                **({} if state is None else {"XDG_STATE_HOME": str(state)}),
            },
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )
        os.close(slave)
        self.raw, self.met = "", 0

    @property
    def seen(self) -> str:
        return ESCAPES.sub("", self.raw)

    def expect(self, text: str) -> None:
        """Read until ``text`` shows, from where the last expectation was met on."""
        deadline = time.monotonic() + 60
        while text not in self.seen[self.met :]:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {self.seen[self.met :]!r}"
            self.raw += os.read(self.master, 4096).decode("utf-8", "replace")
        self.met = self.seen.index(text, self.met) + len(text)

    def interrupt_the_answer(self) -> None:
        """Ctrl-C as soon as something of the answer shows: a small model is done with 900 tokens within a second."""
        while not re.search(r"\w", self.seen[self.met :]):
            self.raw += os.read(self.master, 4096).decode("utf-8", "replace")
        os.write(self.master, b"\x03")

    def send(self, keys: str) -> None:
        time.sleep(0.3)  # a prompt shows shortly before it can be interrupted
        os.write(self.master, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        """As a user who drags the window's corner."""
        fcntl, termios = __import__("fcntl"), __import__("termios")
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> int:
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            os.close(self.master)
