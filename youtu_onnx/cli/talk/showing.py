"""A reply on the terminal as it is written."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from youtu_onnx.chat.generation import Generation, Piece
from youtu_onnx.chat.result import Result
from youtu_onnx.cli import console
from youtu_onnx.cli.prompt_progress import prompt_progress

DIM, NORMAL = "\x1b[2m", "\x1b[0m"


def print_reply(reply: Generation) -> None:
    """Stream a reply: on a terminal thinking is dimmed, tags are left out and its speed follows, elsewhere the text is as
    generated."""
    on_terminal = sys.stdout.isatty()
    dimmed = on_terminal and dims()
    try:
        with prompt_progress(reply):
            first = next(reply, Piece("", "answer"))
        for piece in itertools.chain((first,), reply):
            if not on_terminal:
                print(piece, end="", flush=True)
            elif piece.kind == "thinking" and dimmed:
                print(f"{DIM}{console.printable(piece)}{NORMAL}", end="", flush=True)
            elif piece.kind != "tag" or not dimmed:
                print(console.printable(piece), end="", flush=True)
    finally:
        print(flush=True)
    if on_terminal:
        said = speed(reply.result)
        print(f"{DIM}{said}{NORMAL}" if dimmed else said, flush=True)


def speed(result: Result) -> str:
    """``27 tokens, 35.1 tokens/s``, and what is worth knowing of its end."""
    tokens, seconds = len(result.token_ids), result.timing.decode_seconds
    rate = f", {tokens / seconds:.1f} tokens/s" if tokens > 1 and seconds > 0 else ""
    why = {"length": "; cut at --max-tokens or the context's end", "cancelled": "; stopped"}.get(result.finish_reason, "")
    return f"{tokens} tokens{rate}{why}"


def dims() -> bool:
    """Whether this terminal is to show dimmed text; an old Windows console has to be told that it can."""
    if "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return False
    if os.name == "nt":
        os.system("")
    return True


@contextmanager
def interrupt_cancels(reply: Generation) -> Iterator[None]:
    """Ctrl-C ends the reply after its current step, so that the cache stays whole; a second one ends it at once."""
    pressed = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        reply.cancel()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
