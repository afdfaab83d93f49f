"""The folder of kept bundles: ``bundles/NAME`` is one, ``NAME.json`` its record, ``NAME.lock`` whose turn it is."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from youtu_onnx.core.bundle import names
from youtu_onnx.core.bundle.staging import DISK_FULL, clean_up_after_killed
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.user_cache import user_cache
from youtu_onnx.publish.kept import named
from youtu_onnx.publish.kept.entry import RECORD, Entry
from youtu_onnx.runtimes.ort import preparing

LOCK = ".lock"

MORE_ROOM = "free some space (youtu-onnx list, youtu-onnx rm), or name another disk's folder in XDG_CACHE_HOME"


@dataclass(frozen=True)
class Kept:
    """A bundle that is whole, and its record."""

    folder: Path
    entry: Entry

    @property
    def used(self) -> float:
        """When it was last asked for, in seconds since 1970."""
        return record_of(self.folder).stat().st_mtime

    @property
    def size(self) -> int:
        """Bytes on disk, without a prepared copy."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def root() -> Path:
    """
    Raises:
        ResourceError: this user has no home folder.
    """
    return user_cache() / "bundles"


def record_of(folder: Path) -> Path:
    return folder.with_name(folder.name + RECORD)


def found(folder: Path) -> Kept | None:
    """The bundle of that folder, where it is whole: it got its name when everything was in it."""
    entry = Entry.read(record_of(folder))
    return Kept(folder, entry) if entry is not None and (folder / names.MANIFEST).is_file() else None


def all_kept() -> list[Kept]:
    """The last used first."""
    return sorted((Kept(folder, entry) for folder, entry in named.kept()), key=lambda one: -one.used)


def called(name: str) -> list[Kept]:
    """Those that ``run`` would take for a name, and the one that lies in a folder of it.

    Raises:
        UsageError: there is none.
    """
    kept = all_kept()
    real = os.path.realpath(Path(name).expanduser())
    taken = [one for one in kept if name in (one.entry.name, one.folder.name) or real in (one.entry.name, str(one.folder))]
    if not taken:
        known = ", ".join(dict.fromkeys(one.entry.name for one in kept)) or "nothing"
        raise UsageError(f"no bundle of {name} is kept", hint=f"there is {known}; youtu-onnx list says more")
    return taken


def use(kept: Kept) -> None:
    """Note that it was asked for."""
    named.use(kept.folder)


@contextlib.contextmanager
def locked(folder: Path, progress: Progress | None) -> Iterator[None]:
    """For this process alone. Without ``progress``, who has to wait doesn't.

    Raises:
        UsageError: another process has it, and nobody waits.
        ResourceError: the disk is full, or the folder can't be written.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(folder.name + LOCK))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if progress is None:
                raise UsageError(f"{folder.name} is being made by another process", hint="wait for it, or end it") from error
            progress.note("waiting for another youtu-onnx, which is making the same bundle …")
            lock.acquire()
        try:
            yield
        finally:
            if not record_of(folder).exists():  # nothing came of it, or it was removed
                with contextlib.suppress(OSError):  # Windows removes no open file
                    Path(lock.lock_file).unlink()
            lock.release()
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ResourceError(f"the disk of {folder.parent} is full ({error.strerror})", hint=MORE_ROOM) from error
        raise ResourceError(f"can't keep bundles in {folder.parent}: {error.strerror or error}", hint=MORE_ROOM) from error


def remove(kept: Kept) -> int:
    """Remove a bundle, its prepared copies and its record; bytes that the bundle had.

    Raises:
        UsageError: it is being made again just now.
        ResourceError: it can't be removed.
    """
    with locked(kept.folder, None):
        freed = kept.size
        preparing.remove(kept.folder)
        discard(kept.folder)
    return freed


def discard(folder: Path) -> None:
    """Remove what lies there, or was going to. The record goes last: by it what is left of a removal is found again."""
    clean_up_after_killed(folder)
    aside = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        os.replace(folder, aside)
        shutil.rmtree(aside)
    record_of(folder).unlink(missing_ok=True)
