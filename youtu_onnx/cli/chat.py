"""``youtu-onnx chat``: a conversation in the terminal."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.chat.opening import open_model
from youtu_onnx.cli import console
from youtu_onnx.cli.opening_arguments import OpeningArguments
from youtu_onnx.cli.options import BundleFolder, System
from youtu_onnx.cli.reply_arguments import ReplyArguments
from youtu_onnx.cli.talk.commands import is_command, obey
from youtu_onnx.cli.talk.conversation import Conversation
from youtu_onnx.cli.talk.lines import LineReader, Reader
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.core.user_cache import user_state

if TYPE_CHECKING:
    from youtu_onnx.cli.talk import terminal
else:
    terminal = Deferred("youtu_onnx.cli.talk.terminal", "talking on a terminal")

History = Annotated[
    bool, typer.Option("--history/--no-history", help="Remember questions for the arrow keys of later sessions, or don't.")
]


def chat(
    bundle: BundleFolder,
    *,
    system: System = None,
    reply: ReplyArguments,
    opening: OpeningArguments,
    history: History = True,
) -> None:
    chosen = reply.options()  # before the model is loaded, which may take a while
    reader = _reader(history)
    with open_model(bundle, replace(opening.options(), adapter=reply.adapter)) as model:
        conversation = Conversation(model, system, chosen)
        if sys.stdin.isatty():
            console.note(f"{model.bundle.manifest.source.model} at {bundle}; /help lists the commands")
        draft = ""
        while (line := reader.read(draft)) is not None:
            edited, draft = bool(draft), ""
            with suppress(KeyboardInterrupt):  # pressed before the answer began
                if is_command(line):
                    following = obey(line, conversation)
                    if following.leave:
                        return
                    draft = following.draft
                elif line and edited:
                    conversation.again(line)
                elif line:
                    conversation.ask(line)


def _reader(history: bool) -> Reader:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return LineReader()
    try:
        file = user_state() / "chat-history.jsonl" if history else None
    except ResourceError:  # no home, no history
        file = None
    made: Reader = terminal.TerminalReader(file)
    return made
