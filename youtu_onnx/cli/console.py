"""What commands print with: messages, safe streams, and where a display that moves is taken away before them.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import typer

from youtu_onnx.core import shell
from youtu_onnx.core.errors import YoutuOnnxError

quoted = shell.quoted
_UNPRINTABLE = {code: "\ufffd" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}


class Display(Protocol):
    """Something that moves on the terminal, such as a bar."""

    def stop(self) -> None: ...


_displays: list[Display] = []
"""At most one: a terminal has room for one."""


def show(display: Display) -> None:
    """Remember what is on the terminal, in the place of what was there."""
    clear()
    _displays.append(display)


def clear() -> None:
    """Take away the display of work that was broken off, which else would hide the cursor and overwrite what follows."""
    while _displays:
        _displays.pop().stop()


class OutputError(YoutuOnnxError):
    """What a command found can't be written to stdout."""


class _Result(io.TextIOWrapper):
    """stdout: results. One that can't be written is an error of its own, whatever was printing; a reader that leaves is not."""

    def write(self, text: str) -> int:
        with _told():
            return super().write(text)

    def flush(self) -> None:
        with _told():
            super().flush()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"stdout can't be written to: {error.strerror or error}"
        raise OutputError(why, hint="send the output to a file that there is room for, or to a terminal") from error


class _Forgiving(io.TextIOWrapper):
    """stderr: what can't be said is lost. Work doesn't end because nobody hears of it."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def make_streams_safe() -> None:
    """Print what a terminal's encoding lacks as ``?`` instead of failing. Have all three streams, as services and cron, which
    close them, don't: an empty stdin, a stdout that can't be written to, a stderr that swallows."""
    _open_closed()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if type(sys.stdout) is io.TextIOWrapper:  # and not what a test has put there
        sys.stdout = _again(_Result, sys.stdout)
    if type(sys.stderr) is io.TextIOWrapper:
        sys.stderr = _again(_Forgiving, sys.stderr)


def _again(kind: type[io.TextIOWrapper], stream: io.TextIOWrapper) -> io.TextIOWrapper:
    encoding, by_lines, at_once = stream.encoding, stream.line_buffering, stream.write_through
    stream.flush()
    return kind(stream.detach(), encoding=encoding, errors="replace", line_buffering=by_lines, write_through=at_once)


def _open_closed() -> None:
    """Else the next file that is opened gets the number of a closed stream, and text for the user ends up in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (open until the program ends)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def drop_stdout() -> None:
    """Give stdout nowhere to go, so that the interpreter's last flush can't fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        sys.stdout = None


def fail(failure: YoutuOnnxError) -> int:
    """Tell the user; the exit code."""
    error(failure.message, failure.hint)
    return failure.exit_code


def error(message: str, hint: str | None = None) -> None:
    clear()
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"  hint: {hint}", file=sys.stderr)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_json(result: Mapping[str, object]) -> None:
    """One object in one line, in ASCII where stdout can't carry more."""
    typer.echo(json.dumps(result, ensure_ascii=not stdout_is_utf8()))


def printable(text: str) -> str:
    """A model's text for a terminal: control characters, which could move the cursor or worse, become U+FFFD."""
    return text.translate(_UNPRINTABLE)


def program() -> str:
    """How to call this program again: by its name where the shell finds it, else by its path, as in quickstart.py's .venv."""
    found = shutil.which("youtu-onnx")
    beside = shutil.which("youtu-onnx", path=str(Path(sys.executable).parent))
    return "youtu-onnx" if found or not beside else quoted(beside)


def stdout_is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
