"""Questions of earlier sessions, for the arrow keys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import History

from youtu_onnx.core import atomic

MOST = 1000
"""Questions that are kept."""


class FileHistory(History):
    """A JSON string in each line of a file that its user alone may read. What can't be read or written is done without."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """The last one first."""
        found = self._read()
        if len(found) > 2 * MOST:
            with suppress(OSError):
                atomic.write_text(self._path, "".join(json.dumps(one) + "\n" for one in found[-MOST:]))
        return reversed(found[-MOST:])

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(number, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(string) + "\n")

    def _read(self) -> list[str]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            with suppress(ValueError):
                if isinstance(one := json.loads(line), str):
                    found.append(one)
        return found
