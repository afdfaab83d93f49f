"""A prefix in a file: tokens, and the cache's rows that were computed for them. Nothing in a file is believed.

::

    MAGIC  |  size of the header, 4 bytes little-endian  |  header, JSON  |  ids int32[N]  |  rows of each tensor [N, width]

The header has ``identity`` (of the bundle and of all that decides the rows' bits), ``dtype`` and ``widths`` of the rows,
``tokens`` (N), ``repeatable`` and ``digest`` (BLAKE2b of what follows the header). Sizes are computed from what the reader wants,
and the file has to be of exactly that size before any of it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAGIC = b"youtu-onnx prefix 1\n"
HEADER_LIMIT = 1 << 16
PARTIAL = ".part"


@dataclass(frozen=True)
class RowForm:
    """What rows are like. ``widths``: of each tensor of the cache."""

    dtype: str
    widths: tuple[int, ...]

    def nbytes(self, tokens: int) -> int:
        """Of so many tokens: their ids and their rows."""
        return tokens * (4 + sum(self.widths) * np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class SavedPrefix:
    """Attributes:
    repeatable: so many of the first tokens have rows as every prefill computes them.
    rows: of each tensor ``[N, width]``.
    """

    ids: tuple[int, ...]
    repeatable: int
    rows: tuple[np.ndarray, ...]


class Unusable(Exception):
    """A file that can't be used; says why."""


def write(path: Path, prefix: SavedPrefix, identity: str) -> int:
    """Write a file whole or not at all, readable by its owner alone; its size.

    Raises:
        OSError: it can't be written; nothing is left of it.
    """
    ids = np.asarray(prefix.ids, "<i4")
    parts = [np.ascontiguousarray(one).data.cast("B") for one in (ids, *prefix.rows)]
    header = {
        "identity": identity,
        "dtype": str(prefix.rows[0].dtype),
        "widths": [one.shape[1] for one in prefix.rows],
        "tokens": len(ids),
        "repeatable": prefix.repeatable,
        "digest": _digest(parts),
    }
    text = json.dumps(header).encode()
    partial = path.with_name(f"{path.stem}.{secrets.token_hex(8)}{PARTIAL}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(MAGIC + len(text).to_bytes(4, "little") + text)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return path.stat().st_size


def read(path: Path, ids: Sequence[int], identity: str, form: RowForm) -> SavedPrefix:
    """The prefix of exactly these tokens, of this identity and form.

    Raises:
        FileNotFoundError: there is no such file.
        Unusable: it is another one, or damaged, or can't be read.
    """
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            return _read(file, ids, identity, form)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(str(error)) from error


def _read(file: BinaryIO, ids: Sequence[int], identity: str, form: RowForm) -> SavedPrefix:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("it is no file")
    if file.read(len(MAGIC)) != MAGIC:
        raise Unusable("it is no prefix of this version")
    size = int.from_bytes(file.read(4), "little")
    if size > HEADER_LIMIT or status.st_size != len(MAGIC) + 4 + size + form.nbytes(len(ids)):
        raise Unusable("its size is another one")
    header = _header(file.read(size))
    wanted = {"identity": identity, "dtype": form.dtype, "widths": list(form.widths), "tokens": len(ids)}
    for name, value in wanted.items():
        if header.get(name) != value:
            raise Unusable(f"its {name} is another one")
    repeatable = header.get("repeatable")
    if type(repeatable) is not int or not 0 <= repeatable <= len(ids):
        raise Unusable("its repeatable is no number of its tokens")
    stored = np.empty(len(ids), "<i4")
    rows = tuple(np.empty((len(ids), width), form.dtype) for width in form.widths)
    parts = [one.data.cast("B") for one in (stored, *rows)]
    for part in parts:
        if file.readinto(part) != len(part):  # type: ignore[attr-defined]
            raise Unusable("it ends too early")
    if header.get("digest") != _digest(parts):
        raise Unusable("its content is not what was written")
    if not np.array_equal(stored, np.asarray(ids)):
        raise Unusable("its tokens are others")
    return SavedPrefix(tuple(ids), repeatable, rows)


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable("its header is no JSON") from error
    if not isinstance(header, dict):
        raise Unusable("its header is no object")
    return header


def _digest(parts: Sequence[memoryview]) -> str:
    made = hashlib.blake2b(digest_size=32)
    for part in parts:
        made.update(part)
    return made.hexdigest()
