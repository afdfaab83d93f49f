"""``/set``: how the replies that come are written."""

from __future__ import annotations

from dataclasses import replace

from youtu_onnx.chat.reply_options import ReplyOptions
from youtu_onnx.core.errors import UsageError

NUMBERS: dict[str, type[float]] = {"temperature": float, "top_k": int, "top_p": float, "seed": int, "max_tokens": int}
SWITCHES = {"greedy": "greedy", "thinking": "enable_thinking"}
"""What they are called here, and in :class:`ReplyOptions`."""
SETTINGS = (*NUMBERS, *SWITCHES)
DRAWING = ("temperature", "top_k", "top_p", "seed")
"""Of no use to greedy replies."""
DEFAULT = "default"
ON, OFF = "on", "off"


def changed(options: ReplyOptions, name: str, value: str) -> ReplyOptions:
    """With one setting changed; ``default`` leaves it to the bundle. Sampling and being greedy end one another.

    Raises:
        UsageError: there is no such setting, or it can't have that value.
    """
    name = name.replace("-", "_")
    if name not in SETTINGS:
        raise UsageError(f"no setting {name}", hint=f"there is {', '.join(SETTINGS)}")
    field = SWITCHES.get(name, name)
    read = None if value == DEFAULT else _switch(name, value) if name in SWITCHES else _number(name, value)
    if name == "greedy" and read:
        options = replace(options, greedy=None, temperature=None, top_k=None, top_p=None, seed=None)
    elif name in DRAWING and read is not None:
        options = replace(options, greedy=None)
    return replace(options, **{field: read})  # type: ignore[arg-type]


def described(options: ReplyOptions) -> str:
    """One setting a line."""
    values = {name: getattr(options, SWITCHES.get(name, name)) for name in SETTINGS}
    shown = {name: {None: DEFAULT, True: ON, False: OFF}.get(value, value) for name, value in values.items()}
    return "\n".join(f"{name:<12} {value}" for name, value in shown.items())


def _switch(name: str, value: str) -> bool:
    if value not in (ON, OFF):
        raise UsageError(f"{name} is {value!r}", hint=f"choose {ON}, {OFF} or {DEFAULT}")
    return value == ON


def _number(name: str, value: str) -> float:
    try:
        return NUMBERS[name](value)
    except ValueError as error:
        raise UsageError(f"{name} is {value!r}", hint=f"choose a number, or {DEFAULT}") from error
