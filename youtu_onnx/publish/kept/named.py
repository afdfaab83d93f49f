"""Kept bundles by their names alone, for commands and the shells that complete them: nothing heavy is imported."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.core.user_cache import user_cache
from youtu_onnx.publish.kept.entry import RECORD, Entry


def kept_names() -> list[str]:
    """As ``run`` was told; none where nothing is kept."""
    return [entry.name for _, entry in _there()]


def folder_called(name: str) -> Path:
    """The folder of this path; where there is none, that of the one bundle which is kept by this name.

    A name that is neither is returned as a path: whoever opens it says what is missing there.

    Raises:
        UsageError: several are kept by this name.
    """
    path = Path(name)
    with contextlib.suppress(OSError):  # who opens it says why it can't be looked at
        if path.exists():
            return path
    folders = [folder for folder, entry in _there() if name in (entry.name, folder.name)]
    if len(folders) > 1:
        one_of = ", ".join(folder.name for folder in folders)
        raise UsageError(f"{name} is kept {len(folders)} times", hint=f"name one of {one_of}; youtu-onnx list says more")
    for folder in folders:
        use(folder)
    return folders[0] if folders else path


def kept() -> Iterator[tuple[Path, Entry]]:
    """Bundles that are whole, and their records.

    Raises:
        ResourceError: this user has no home folder.
    """
    for file in sorted((user_cache() / "bundles").glob(f"*{RECORD}")):
        folder = file.with_name(file.name.removesuffix(RECORD))
        if (folder / names.MANIFEST).is_file() and (entry := Entry.read(file)) is not None:
            yield folder, entry


def use(folder: Path) -> None:
    """Note that it was asked for."""
    with contextlib.suppress(OSError):
        os.utime(folder.with_name(folder.name + RECORD))


def _there() -> list[tuple[Path, Entry]]:
    try:
        return list(kept())
    except (OSError, ResourceError):
        return []
