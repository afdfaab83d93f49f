"""Questions typed on a terminal: several lines, pasted texts, history and completion, by prompt_toolkit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from youtu_onnx.cli import console
from youtu_onnx.cli.talk import settings
from youtu_onnx.cli.talk.commands import COMMANDS
from youtu_onnx.cli.talk.history import FileHistory

PROMPT, FURTHER = "> ", "  "


class TerminalReader:
    """Where questions come from: a terminal."""

    def __init__(self, history: Path | None) -> None:
        """``history``: the file of earlier questions; None: nothing is remembered after the session."""
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            history=InMemoryHistory() if history is None else FileHistory(history),
            completer=CommandCompleter(),
            complete_while_typing=Condition(lambda: get_app().current_buffer.text.startswith("/")),
            key_bindings=_keys(),
            prompt_continuation=FURTHER,
            enable_open_in_editor=True,
        )

    def read(self, draft: str) -> str | None:
        """The next question or command; None at the input's end, or at the second Ctrl-C in a row.

        Args:
            draft: a text to begin with, which Ctrl-C leaves as it was: an empty line.
        """
        pressed = False
        while True:
            try:
                text: str = self._session.prompt(default=draft)
            except EOFError:
                return None
            except KeyboardInterrupt:
                if draft:
                    return ""
                if pressed:
                    return None
                pressed = True
                console.note("Ctrl-C again, or /exit, leaves")
                continue
            pressed = False
            if text.strip():
                return text.strip()


class CommandCompleter(Completer):
    """Commands, names of settings, and files."""

    def __init__(self) -> None:
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, rest = text.partition(" ")
        if not space:
            for command, (arguments, meaning) in COMMANDS.items():
                if command.startswith(name):
                    yield Completion(command, -len(name), display=f"{command} {arguments}".strip(), display_meta=meaning)
        elif name == "/set" and " " not in rest:
            yield from (Completion(one, -len(rest)) for one in settings.SETTINGS if one.startswith(rest))
        elif name in ("/save", "/load"):
            yield from self._files.get_completions(Document(rest), complete_event)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
