"""Calibrated codes of an export that was cut short: the next one to the same place takes them over.

Calibrating a model of two thousand million parameters takes half an hour; what is done is kept beside the bundle's final folder,
a file a matrix, and gone when the bundle is there. What was kept for other weights, another recipe or another text is thrown
away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from youtu_onnx.exporters.assembly import Piece

KEY = "key.json"
DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)
"""What NumPy raises of a file that was cut or changed."""


class Unfinished:
    """A context manager. Outside of :meth:`done` what is kept stays, whatever ends the block."""

    def __init__(self, final: Path, key: Mapping[str, Any]) -> None:
        """
        Args:
            final: of the bundle.
            key: JSON-ready: everything that codes depend on.
        """
        path = Path(os.path.abspath(final))  # noqa: PTH100 - resolve() would follow a link
        self.folder = path.parent / f".{path.name}.calibrated"
        self._key = json.dumps(key, sort_keys=True)
        self._lock = FileLock(f"{self.folder}.lock")
        self.taken = 0

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=0)
        except (Timeout, OSError):
            return self  # another export to the same place has it: this one keeps nothing
        if self._recorded() != self._key:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            (self.folder / KEY).write_text(self._key, encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock.is_locked:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def get(self, name: str, pieces: Sequence[Piece]) -> tuple[NDArray[Any], ...] | None:
        """A matrix's arrays; None where they aren't there, or are not what they were written as."""
        if not self._lock.is_locked:
            return None
        try:
            with np.load(self._path(name), allow_pickle=False) as found:
                arrays = tuple(found[f"arr_{place}"] for place in range(len(pieces)))
        except DAMAGED:
            return None
        if any(
            array.shape != piece.shape or array.dtype != piece.dtype.numpy() for array, piece in zip(arrays, pieces, strict=True)
        ):
            return None
        self.taken += 1
        return arrays

    def put(self, name: str, arrays: Sequence[NDArray[Any]]) -> None:
        """
        Raises:
            OSError: the disk is full.
        """
        if not self._lock.is_locked:
            return
        path = self._path(name)
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez(stream, *arrays)
        part.replace(path)

    def done(self) -> None:
        """Nothing is needed any more."""
        if self._lock.is_locked:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _recorded(self) -> str | None:
        try:
            return (self.folder / KEY).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def _path(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
