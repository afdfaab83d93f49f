"""``youtu-onnx chat``: a conversation in the terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType

from youtu_onnx.chat.generation import Generation, Piece
from youtu_onnx.chat.model import Model
from youtu_onnx.chat.opening import open_model
from youtu_onnx.chat.reply_options import ReplyOptions
from youtu_onnx.chat.result import Result
from youtu_onnx.cli import console, stdin
from youtu_onnx.cli.opening_arguments import OpeningArguments
from youtu_onnx.cli.options import BundleFolder, System
from youtu_onnx.cli.reply_arguments import ReplyArguments
from youtu_onnx.core.errors import UsageError

HELP = """/reset  forget the conversation and start anew
/exit   leave (so do Ctrl-D, and Ctrl-C twice)
/help   this list
Ctrl-C stops an answer."""

DIM, NORMAL = "\x1b[2m", "\x1b[0m"


def chat(bundle: BundleFolder, *, system: System = None, reply: ReplyArguments, opening: OpeningArguments) -> None:
    chosen = reply.options()  # before the model is loaded, which may take a while
    with open_model(bundle, replace(opening.options(), adapter=reply.adapter)) as model:
        conversation = _Conversation(model, system, chosen)
        if sys.stdin.isatty():
            console.note(f"{model.bundle.manifest.source.model} at {bundle}; /help lists the commands")
        for line in _lines():
            if line == "/exit":
                return
            if line == "/reset":
                conversation.reset()
                console.note("the conversation starts anew")
            elif line == "/help":
                console.note(HELP)
            elif line.startswith("/") and " " not in line:
                console.note(f"no command {line}; /help lists them")
            else:
                with suppress(KeyboardInterrupt):  # pressed before the answer began
                    conversation.say(line)


class _Conversation:
    """The messages so far, and the model that answers them."""

    def __init__(self, model: Model, system: str | None, options: ReplyOptions) -> None:
        self._model, self._options = model, options
        self._opening = [] if system is None else [{"role": "system", "content": system}]
        self._messages = list(self._opening)

    def reset(self) -> None:
        self._messages = list(self._opening)
        self._model.reset()

    def say(self, text: str) -> None:
        """Print the reply to a text. A turn that can't be answered is told about and forgotten."""
        messages = [*self._messages, {"role": "user", "content": text}]
        try:
            reply = self._model.reply(messages, self._options)
        except UsageError as error:
            console.fail(error)
            if len(self._messages) > len(self._opening):
                console.note("  /reset makes room by forgetting the conversation")
            return
        try:
            with _interrupt_cancels(reply):
                _print_reply(reply)
                result = reply.result
        except KeyboardInterrupt:  # the second Ctrl-C, which doesn't wait for the current step
            print()
            self._model.reset()
            return
        if result.token_ids:
            self._messages = [*messages, _assistant(result)]


def _assistant(result: Result) -> dict[str, str]:
    message = {"role": "assistant", "content": result.answer}
    return message | {"reasoning_content": result.thinking} if result.thinking else message


def _print_reply(reply: Iterator[Piece]) -> None:
    """Stream a reply: on a terminal thinking is dimmed and tags are left out, elsewhere the text is as generated."""
    on_terminal = sys.stdout.isatty()
    dimmed = on_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb" and _enable_escapes()
    try:
        for piece in reply:
            if not on_terminal:
                print(piece, end="", flush=True)
            elif piece.kind == "thinking" and dimmed:
                print(f"{DIM}{console.printable(piece)}{NORMAL}", end="", flush=True)
            elif piece.kind != "tag" or not dimmed:
                print(console.printable(piece), end="", flush=True)
    finally:
        print(flush=True)


def _enable_escapes() -> bool:
    """Whether the terminal understands escape sequences; an old Windows console has to be told to."""
    if os.name == "nt":
        os.system("")
    return True


@contextmanager
def _interrupt_cancels(reply: Generation) -> Iterator[None]:
    """Ctrl-C ends the reply after its current token, so that the cache stays whole; a second one ends it at once."""
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


def _lines() -> Iterator[str]:
    """The user's lines, without the empty ones; ends with the input, or at the second Ctrl-C in a row."""
    if not sys.stdin.isatty():
        yield from stdin.lines()
        return
    with suppress(ImportError):
        import readline  # noqa: F401 (gives input() its line editing)
    pressed = False
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            if pressed:
                return
            pressed = True
            console.note("Ctrl-C again, or /exit, leaves")
            continue
        pressed = False
        if line:
            yield line
