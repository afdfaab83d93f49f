"""Which processes have a bundle open, by what they were started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import psutil

from youtu_onnx.core.bundle import names

PROGRAM = "youtu-onnx"
MODULES = ("youtu_onnx", "youtu_onnx.cli")
"""What ``python -m`` may be told."""
COMMANDS = ("run", "chat", "generate", "serve", "bench", "evaluate", "explain", "verify")
"""Those that keep a bundle open while they work."""


@dataclass(frozen=True)
class Running:
    """
    Attributes:
        command: of youtu-onnx.
        model: what it was told to open, as it was told.
        memory: resident bytes, workers counted.
        started: seconds since 1970.
    """

    pid: int
    command: str
    model: str
    memory: int
    started: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def running() -> list[Running]:
    """This user's, the last started first."""
    own = psutil.Process().username()
    found = []
    for process in psutil.process_iter():
        try:
            told = asked_of(process.cmdline()) if process.username() == own else None
            if told is None:
                continue
            command, arguments = told
            everyone = [process, *process.children(recursive=True)]
            memory = sum(one.memory_info().rss for one in everyone)
            model = _model(arguments, Path(process.cwd()))
            found.append(Running(process.pid, command, model, memory, process.create_time()))
        except (psutil.Error, OSError):  # it ended meanwhile, or isn't ours to look at
            continue
    return sorted(found, key=lambda one: -one.started)


def asked_of(words: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    """Command and arguments of a process that is this program and opens a bundle; else None."""
    for place, word in enumerate(words[:4]):
        named = PurePath(word).name.removesuffix(".exe") == PROGRAM or (word in MODULES and words[place - 1 : place] == ["-m"])
        if named:
            rest = [one for one in words[place + 1 :] if one != "--traceback"]
            return (rest[0], rest[1:]) if rest and rest[0] in COMMANDS else None
    return None


def _model(arguments: Sequence[str], here: Path) -> str:
    """The argument that is a bundle's folder, else the first that is no option."""
    plain = [one for one in arguments if not one.startswith("-")]
    folders = (one for one in plain if any((here / one / name).is_file() for name in (names.MANIFEST, names.VARIANTS)))
    return next(folders, plain[0] if plain else "")
