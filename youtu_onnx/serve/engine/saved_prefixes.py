"""Prefixes that outlive the server: a folder of files, the least recently used of which go when they become too many.

Several processes, and servers of several bundles, may share a folder: files are named by bundle and tokens, written whole, and
checked when they are read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.runtimes.batch import Batch, StoredCache
from youtu_onnx.serve.engine import prefix_file
from youtu_onnx.serve.engine.prefix_cache import CachedSequence
from youtu_onnx.serve.engine.prefix_file import RowForm, SavedPrefix, Unusable

log = logging.getLogger("youtu_onnx.serve")

WORTH_SAVING = 64
"""Tokens of a prefix: fewer are computed as quickly."""
SUFFIX = ".prefix"
ABANDONED_SECONDS = 3600
"""After which a file that was never completed is somebody's who is gone."""


class SavedPrefixes:
    """Used by the engine's thread, but that files are written by a thread of its own: at most one waits, others aren't saved."""

    def __init__(self, folder: Path, batch: Batch, facts: Mapping[str, str], limit: int) -> None:
        """
        Args:
            facts: all that decides the bits of rows: the bundle, versions, the processor.
            limit: bytes of all files in the folder.

        Raises:
            UsageError: the batch's caches can't be kept in files, or the folder can't be made or written to.
        """
        cache = batch.new_cache()
        if not batch.prefix_shareable or not isinstance(cache, StoredCache):
            raise UsageError(
                "--prefix-cache has no use here: this bundle's cache, on this provider, can't be kept in files",
                hint="leave --prefix-cache away, or serve a bundle for the CPU with a latent cache",
            )
        self._folder, self._batch, self._limit = folder, batch, limit
        self._form = RowForm(str(np.dtype(cache.row_dtype)), cache.row_widths)
        self._identity = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()
        self._failed = False
        self._waiting: queue.Queue[SavedPrefix | None] = queue.Queue(maxsize=1)
        self._prepare_folder()
        self._writer = threading.Thread(target=self._write_all, name="youtu-onnx prefixes", daemon=True)
        self._writer.start()

    def load(self, ids: Sequence[int]) -> CachedSequence | None:
        """The cache of exactly these tokens; None where there is none that can be used, or no memory for it."""
        path = self._path(ids)
        try:
            found = prefix_file.read(path, ids, self._identity, self._form)
        except FileNotFoundError:
            return None
        except Unusable as error:
            log.warning("%s isn't used: %s", path, error)
            with suppress(OSError):
                path.unlink()
            return None
        except MemoryError:
            return None
        with suppress(OSError):
            os.utime(path)
        cache = self._batch.new_cache()
        assert isinstance(cache, StoredCache)
        try:
            cache.restore_rows(found.rows)
        except ResourceError:
            return None
        return CachedSequence(cache, list(found.ids), found.repeatable)

    def save(self, cached: CachedSequence, length: int) -> None:
        """Write the first ``length`` tokens of a cache, whose rows are as every prefill computes them; in another thread."""
        ids = cached.ids[:length]
        if self._failed or self._waiting.full() or self._form.nbytes(length) > self._limit or self._path(ids).exists():
            return
        assert isinstance(cached.cache, StoredCache)
        with suppress(queue.Full):
            rows = tuple(cached.cache.stored_rows(length))
            self._waiting.put_nowait(SavedPrefix(tuple(ids), length, rows))

    def close(self) -> None:
        """Wait until all is written."""
        self._waiting.put(None)
        self._writer.join()

    def _path(self, ids: Sequence[int]) -> Path:
        tokens = hashlib.sha256(np.asarray(ids, "<i4").tobytes()).hexdigest()
        return self._folder / f"{self._identity[:16]}-{tokens[:48]}{SUFFIX}"

    def _prepare_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "it can't be written to")
            for partial in self._folder.glob(f"*{prefix_file.PARTIAL}"):
                if time.time() - partial.stat().st_mtime > ABANDONED_SECONDS:
                    partial.unlink()
        except OSError as error:
            raise UsageError(
                f"--prefix-cache {self._folder}: {error.strerror or error}", hint="name a folder that you may write to"
            ) from error

    def _write_all(self) -> None:
        while (prefix := self._waiting.get()) is not None:
            try:
                prefix_file.write(self._path(prefix.ids), prefix, self._identity)
                self._drop_oldest()
            except OSError as error:
                self._failed = True
                log.warning("no more prefixes are saved in %s: %s", self._folder, error)

    def _drop_oldest(self) -> None:
        """Other processes may do the same at the same time."""
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
