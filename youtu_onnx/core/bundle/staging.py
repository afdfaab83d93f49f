"""Writing a bundle whole or not at all.

Files go to a hidden sibling of the final folder, which is renamed when everything is in it. A lock file beside the
sibling tells the next run whether its writer still lives: the operating system drops the lock with the process, so
what a killed export left is recognised and removed.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from filelock import FileLock, Timeout

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import ResourceError, UsageError, YoutuOnnxError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, no quota, or beyond the largest file that this file system or user may have."""


BUNDLES = (names.MANIFEST, names.VARIANTS)
"""A bundle and a folder of several may replace one another."""


class Record(Protocol):
    """What is written last into a folder, and by which it is known: a bundle's manifest, for one."""

    def to_json(self) -> str: ...


class Staging:
    """A context manager around one write: ``with Staging(final, force=False) as folder: …; staging.publish(m)``.

    Leaving the block without :meth:`publish` removes everything that was written.

    Args:
        record: file name of the record that such a folder has; one without it is never replaced.
        kind: what to call such a folder.

    Raises:
        UsageError: the final folder holds something, and ``force`` is false or it isn't a bundle.
        ResourceError: the parent folder can't be written, or the disk is full (whatever wrote to it in the block).
    """

    def __init__(self, final: Path, *, force: bool = False, record: str = names.MANIFEST, kind: str = "bundle") -> None:
        self.record, self.kind = record, kind
        self.final = Path(os.path.abspath(final))  # noqa: PTH100 - resolve() would follow a link
        self.force = force
        token = uuid.uuid4().hex[:8]
        self.folder = self.final.parent / f"{_prefix(self.final)}{token}"
        self._lock = FileLock(f"{self.folder}.lock")

    def __enter__(self) -> Self:
        try:
            self.final.parent.mkdir(parents=True, exist_ok=True)
            clean_up_after_killed(self.final)
            self._refuse_what_is_in_the_way()
            self._lock.acquire(timeout=0)
            self.folder.mkdir()
        except OSError as error:
            self._lock.release()
            raise ResourceError(
                f"can't write beside {self.final}: {error.strerror or error}",
                hint="choose an --output folder that you may write to",
            ) from error
        except YoutuOnnxError:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise ResourceError(
                f"the disk of {self.final.parent} is full ({error.strerror}); nothing was left there",
                hint="free space, or choose an --output on another disk",
            ) from error

    def publish(self, record: Record) -> Path:
        """Write the record, flush everything to disk, and give the folder its final name."""
        (self.folder / self.record).write_text(record.to_json(), encoding="utf-8")
        for path in self.folder.rglob("*"):
            if path.is_file():
                _flush(path)
        replaced = _replaced(self.final)
        if self.final.exists():
            os.replace(self.final, replaced)
        os.replace(self.folder, self.final)
        if os.name == "posix":
            _flush(self.final.parent)
        shutil.rmtree(replaced, ignore_errors=True)
        return self.final

    def _refuse_what_is_in_the_way(self) -> None:
        if not self.final.exists():
            return
        if not self.final.is_dir():
            raise UsageError(f"{self.final} is a file; --output names a folder", hint="choose another --output")
        if not any(self.final.iterdir()):
            return
        known = BUNDLES if self.record in BUNDLES else (self.record,)
        if not any((self.final / name).is_file() for name in known):
            raise UsageError(
                f"{self.final} is not empty and not a {self.kind}; it won't be touched", hint="choose another --output folder"
            )
        if not self.force:
            raise UsageError(
                f"{self.final} already holds a {self.kind}", hint="choose another --output, or replace it with --force"
            )


def clean_up_after_killed(final: Path) -> None:
    """Remove what killed exports to ``final`` left; put back a bundle whose replacement was cut short."""
    replaced = _replaced(final)
    if replaced.is_dir():
        if final.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            os.replace(replaced, final)
    for lock_file in final.parent.glob(f"{_escape(_prefix(final))}*.lock"):
        lock = FileLock(lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue  # its export is running
        shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
        lock.release()
        lock_file.unlink(missing_ok=True)


def _prefix(final: Path) -> str:
    return f".{final.name}.partial-"


def _replaced(final: Path) -> Path:
    """Where the old bundle waits while the new one takes its name."""
    return final.parent / f"{_prefix(final)}replaced"


def _escape(pattern: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in pattern)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
