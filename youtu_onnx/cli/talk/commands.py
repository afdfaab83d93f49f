"""What begins with a slash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from youtu_onnx.cli import console
from youtu_onnx.cli.talk import settings
from youtu_onnx.cli.talk.conversation import Conversation
from youtu_onnx.cli.talk.saved import load, save
from youtu_onnx.cli.talk.showing import speed
from youtu_onnx.core.errors import UsageError, YoutuOnnxError

COMMANDS = {
    "/help": ("", "this list"),
    "/reset": ("", "forget the conversation and start anew"),
    "/retry": ("", "answer the last question again"),
    "/edit": ("[TEXT]", "ask something else in place of the last question"),
    "/system": ("[TEXT]", "show the system message, or set it; - takes it away"),
    "/set": ("[NAME VALUE]", f"show settings, or set one: {', '.join(settings.SETTINGS)}"),
    "/save": ("FILE", "write the conversation, as JSON or (.md) as Markdown"),
    "/load": ("FILE", "go on with a conversation that was written as JSON"),
    "/stats": ("", "tokens and speed so far"),
    "/exit": ("", "leave (so do Ctrl-D, and Ctrl-C twice)"),
}
"""Name → arguments and meaning. The example chats of other languages have the same names for what they can do."""
KEYS = "Enter sends, Alt-Enter begins a line, Ctrl-C stops an answer; what is pasted is one question."


@dataclass(frozen=True)
class Next:
    """What a command asks of the loop: to leave, or to let the user change a text."""

    leave: bool = False
    draft: str = ""


def is_command(line: str) -> bool:
    """A known one with whatever follows, or a word alone that looks like one."""
    return line.split(None, 1)[:1] != [] and (
        line.split(None, 1)[0] in COMMANDS or (line.startswith("/") and len(line.split()) == 1)
    )


def obey(line: str, conversation: Conversation) -> Next:
    """Do what a command says; what is wrong with it is told."""
    name, _, rest = line.partition(" ")
    try:
        return _obey(name.strip(), rest.strip(), conversation)
    except YoutuOnnxError as error:
        if isinstance(error, console.OutputError):
            raise
        console.fail(error)
        return Next()


def _obey(name: str, rest: str, conversation: Conversation) -> Next:
    if name not in COMMANDS:
        console.note(f"no command {name}; /help lists them")
        return Next()
    if rest and not COMMANDS[name][0]:
        raise UsageError(f"{name} stands alone", hint=f"leave {rest!r} away")
    match name:
        case "/exit":
            return Next(leave=True)
        case "/help":
            console.note("\n".join([*_listed(), KEYS]))
        case "/reset":
            conversation.reset()
            console.note("the conversation starts anew")
        case "/retry":
            _retry(conversation)
        case "/edit":
            return _edit(rest, conversation)
        case "/system":
            _system(rest, conversation)
        case "/set":
            _set(rest, conversation)
        case "/save":
            path = _file(name, rest)
            save(path, conversation.model.bundle.manifest.source.model, conversation.whole)
            console.note(f"written to {path}")
        case "/load":
            _load(_file(name, rest), conversation)
        case _:
            console.note(_stats(conversation))
    return Next()


def _listed() -> list[str]:
    return [f"{f'{name} {arguments}':<19} {meaning}" for name, (arguments, meaning) in COMMANDS.items()]


def _answered(conversation: Conversation) -> str:
    """The last question.

    Raises:
        UsageError: there is none.
    """
    if conversation.question is None:
        raise UsageError("nothing was asked yet", hint="ask something")
    return conversation.question


def _retry(conversation: Conversation) -> None:
    question = _answered(conversation)
    if conversation.repeats:
        console.note("the answer will be the same: no token is drawn at random anew; /set temperature 0.8 changes that")
    conversation.again(question)


def _edit(rest: str, conversation: Conversation) -> Next:
    question = _answered(conversation)
    if rest:
        conversation.again(rest)
        return Next()
    return Next(draft=question)


def _system(rest: str, conversation: Conversation) -> None:
    if rest:
        conversation.system = None if rest == "-" else rest
    console.note(f"system: {conversation.system}" if conversation.system else "there is no system message")


def _set(rest: str, conversation: Conversation) -> None:
    if rest:
        name, _, value = rest.replace("=", " ", 1).partition(" ")
        if not value.strip():
            raise UsageError(f"/set {name} needs a value", hint=f"as in /set {name} {settings.DEFAULT}")
        conversation.options = settings.changed(conversation.options, name, value.strip())
    console.note(settings.described(conversation.options))


def _file(name: str, rest: str) -> Path:
    if not rest:
        raise UsageError(f"{name} needs a file", hint=f"as in {name} conversation.json")
    return Path(rest).expanduser()


def _load(path: Path, conversation: Conversation) -> None:
    messages = load(path)
    opening = messages[:1] if messages and messages[0]["role"] == "system" else []
    conversation.system = opening[0]["content"] if opening else None
    conversation.messages = messages[len(opening) :]
    console.note(f"{len(conversation.messages)} messages; the conversation goes on")


def _stats(conversation: Conversation) -> str:
    totals, last = conversation.totals, conversation.last
    if last is None:
        return "nothing was answered yet"
    context = conversation.model.decoder.context_length
    used = last.usage.total_tokens
    read = totals.prompt_tokens - totals.reused_tokens
    lines = [
        f"last answer  {speed(last)}",
        f"its prompt   {last.usage.prompt_tokens:,} tokens, {last.timing.reused_tokens:,} of them in the cache already, "
        f"read in {last.timing.prefill_seconds:.2f} s",
        f"context      {used:,} of {context:,} tokens ({100 * used / context:.0f}%)",
        f"all answers  {totals.replies}: {totals.completion_tokens:,} tokens written at "
        f"{_rate(totals.completion_tokens, totals.decode_seconds)}, {read:,} read at {_rate(read, totals.prefill_seconds)}",
    ]
    return "\n".join(lines)


def _rate(tokens: int, seconds: float) -> str:
    return f"{tokens / seconds:,.1f} tokens/s" if seconds > 0 else "no speed"
