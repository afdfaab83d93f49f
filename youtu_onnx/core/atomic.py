"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """As :func:`write_bytes`, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under another name beside its place, and give it its own: what is there is replaced at once.

    What is no plain file, such as a pipe, is written to as it is. A link stays one.

    Raises:
        OSError: it can't be written; what was there is untouched.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    final = Path(os.path.realpath(path))
    unfinished = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, final)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # the name that the user knows
    finally:
        unfinished.unlink(missing_ok=True)
