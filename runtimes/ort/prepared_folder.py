"""The folder in which prepared copies lie: which of it is trusted, and how it is changed.

All changes happen under one lock, which the operating system drops with the process; so whoever holds it knows that a partial
folder is a dead one's.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from youtu_onnx.core.bundle import names
from youtu_onnx.core.bundle.staging import DISK_FULL
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.user_cache import user_cache
from youtu_onnx.runtimes.ort.prepared_key import GRAPHS

RECORD, PARTIAL, LOCK = "prepared.json", ".partial", ".lock"

MORE_ROOM = "free some space there, or name another disk's folder in XDG_CACHE_HOME"


class Unusable(Exception):
    """A copy that must not be opened; the text says why."""


def cache_folder() -> Path:
    """Where copies lie.

    Raises:
        ResourceError: this user has no home folder.
    """
    return user_cache() / "prepared"


def check_trusted(path: Path) -> None:
    """Let pass what is a file or folder that nobody but this user can have written.

    Raises:
        Unusable: missing, a link, another user's, or writable by others. (Windows: its cache is the user's own already.)
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise Unusable(f"its {path.name} is missing ({error.strerror})") from error
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise Unusable(f"{path} is not a plain file or folder")
    if os.name == "posix" and found.st_uid != os.geteuid():
        raise Unusable(f"{path} belongs to another user")
    if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unusable(f"{path} can be written by other users")


def folders(root: Path) -> list[Path]:
    """Copies and what is left of some; never what somebody else put there, nor what a link leads to."""
    listed = (path for path in root.iterdir() if re.fullmatch(rf"[0-9a-f]{{32}}({re.escape(PARTIAL)})?", path.name))
    return [path for path in sorted(listed) if is_ours(path)]


def is_ours(folder: Path) -> bool:
    """A real folder that holds our record and nothing but a copy's plain files; an empty one was just begun."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    found = {path.name: path for path in folder.iterdir()}
    return (
        found.keys() <= {RECORD, *GRAPHS, names.MODEL_DATA}
        and (not found or RECORD in found)
        and not any(map(Path.is_symlink, found.values()))
    )


@contextlib.contextmanager
def locked(progress: Progress) -> Iterator[Path]:
    """The cache folder, made where it is missing, for this process alone; errors of its disk become messages."""
    root = cache_folder()
    try:
        for folder in reversed([one for one in (root, *root.parents) if not one.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        check_trusted(root)
        lock = FileLock(root / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note("waiting for another youtu-onnx prepare …")
            lock.acquire()
        try:
            yield root
        finally:
            lock.release()
    except Unusable as why:
        raise ResourceError(
            f"prepared weights would not be safe in {root}: {why}",
            hint=f"make it yours alone: chmod 700 {root}; or name another folder in XDG_CACHE_HOME",
        ) from why
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ResourceError(f"the disk of {root} is full ({error.strerror})", hint=MORE_ROOM) from error
        raise ResourceError(
            f"can't keep prepared weights in {root}: {error.strerror or error}",
            hint="close programs that use them, or name a folder that is yours in XDG_CACHE_HOME",
        ) from error


def delete(folder: Path) -> None:
    """Rename first, so that nobody opens half of it; on Windows this fails while a program has it open."""
    if folder.suffix != PARTIAL:
        aside = folder.with_suffix(PARTIAL)
        if aside.exists():
            erase(aside)
        folder = folder.rename(aside)
    erase(folder)


def erase(folder: Path) -> None:
    """Remove a copy's files and their folder. The record goes last: by it the next run knows whose the rest is."""
    for name in (*GRAPHS, names.MODEL_DATA, RECORD):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def flush(folder: Path) -> None:
    """Have the disk remember what a folder's entries are."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
