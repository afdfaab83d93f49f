"""Words of a command line, as a user would type them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


def quoted(path: str | Path) -> str:
    """A path as one would type it in this system's shell."""
    text = str(path)
    return (f'"{text}"' if " " in text else text) if os.name == "nt" else shlex.quote(text)
