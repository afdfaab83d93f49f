"""Making and removing prepared copies: whole or not at all, one process at a time.

A copy is written to ``KEY.partial`` in the cache folder, compared with its bundle, and renamed. All changes happen under one
lock, which the operating system drops with the process; so whoever holds it knows that a partial folder is a dead one's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
from filelock import FileLock, Timeout

from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.bundle.staging import DISK_FULL
from youtu_onnx.core.errors import BundleError, ResourceError, UsageError, VerificationError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.model import OrtModel, session_options
from youtu_onnx.runtimes.ort.prepared import (
    GRAPHS,
    PARTIAL,
    RECORD,
    Prepared,
    Unusable,
    cache_folder,
    check_trusted,
    files_of,
    folders,
    graph_of,
    is_ours,
    key_of,
    name_of,
    stamps,
    usable,
)
from youtu_onnx.runtimes.ort.slots import SlotModel
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers import providers

LOCK = ".lock"

ROOM = 2.25
"""Disk space that is asked for, over the size of the bundle's weights. Seen: 1.7 to 2.1."""

_MORE_ROOM = "free some space there, or name another disk's folder in XDG_CACHE_HOME"
_PACKED = re.compile(rb"prepacked_\d+\x12[\x00-\xff]{1,2}?[\w.]+\+\d+((?:\|\d+;\d+;\d+)+)")
"""How ONNX Runtime lists packed weights in the graph: ``MatMulNBits+HASH|OFFSET;LENGTH;FLAGS|…``."""


class NothingPacked(UsageError):
    """ONNX Runtime packs none of a bundle's weights."""


def make(bundle: Bundle, progress: Progress | None = None, graph: str = names.MODEL) -> tuple[Prepared, bool]:
    """Make the copy of a bundle's graph, unless it is there; removes copies that nothing can use any more.

    Takes twice the weights' size on disk and, while it works, as much memory as opening the bundle takes without a copy.

    Returns:
        The copy, and whether it was made now.

    Raises:
        BundleError: the bundle can't be opened.
        ResourceError: the cache folder can't be used, or has too little room.
        NothingPacked: this ONNX Runtime packs nothing for this bundle.
        UsageError: the bundle has no such graph.
        VerificationError: the copy computes other logits than the bundle. It isn't kept.
    """
    progress = progress or Silent()
    if graph not in bundle.manifest.files:
        raise UsageError(
            f"{bundle.path} has no {graph}, so there is nothing to prepare for servers",
            hint="export it for the target cpu with a latent cache",
        )
    with _locked(progress) as root:
        folder = root / name_of(bundle, graph)
        _clean_up(root, bundle, progress)
        if os.path.lexists(folder):
            try:
                found = usable(folder, bundle, graph)
                found.session(session_options(bundle, providers.provider("cpu"), thread_count(None)))
                return found, False
            except Unusable as why:
                if not is_ours(folder):
                    raise ResourceError(f"{folder} is in the way, and not from youtu-onnx", hint="remove it") from why
                progress.note(f"the copy that is there is made anew: {why}")
                _delete(folder)
        _check_room(root, bundle)
        staging = folder.with_suffix(PARTIAL)
        staging.mkdir(mode=0o700)
        try:
            (staging / RECORD).touch()  # by which the next run knows what a killed one left
            made = _fill(staging, bundle, graph, progress)
            os.replace(staging, folder)
        finally:
            if staging.exists():
                _erase(staging)
            progress.finish()
        _flush(root)
        return dataclasses.replace(made, folder=folder), True


def remove(bundle: Path) -> list[Path]:
    """Remove all copies of the bundle at a path, which need not be there any more, and broken ones; the folders removed.

    Raises:
        ResourceError: the cache folder isn't this user's, or (on Windows) a program has the copy open.
    """
    gone: list[Path] = []
    if not cache_folder().is_dir():
        return gone
    with _locked(Silent()) as root:
        for folder in folders(root):
            try:
                wanted = Prepared.read(folder).key["bundle"] == os.path.realpath(bundle)
            except Unusable:
                wanted = True  # of use to nobody
            if wanted:
                _delete(folder)
                gone.append(folder)
    return gone


def _fill(staging: Path, bundle: Bundle, graph: str, progress: Progress) -> Prepared:
    """Write a copy, and prove that it computes the same: logits are compared bit by bit."""
    compute = _batch_logits if graph == names.BATCH else _logits
    before = stamps(bundle.path, graph)
    progress.begin("opening the bundle")
    expected, own_seconds = compute(bundle, None)
    progress.begin("packing weights", 2 * bundle.manifest.files[names.MODEL_DATA].size)
    with _growth_reported(staging, progress):
        _write_packed(staging, bundle, graph)
    packed = _packed_bytes(staging / graph)
    if not packed:
        raise NothingPacked(
            f"onnxruntime {ort.__version__} packs none of this bundle's weights: a copy would save nothing",
            hint="nothing is to be done; the bundle runs as it is",
        )
    written = stamps(staging, graph)
    progress.begin("checking the copy", sum(size for size, _ in written.values()))
    made = Prepared(
        folder=staging,
        key=key_of(bundle, graph),
        bundle_files=before,
        packed=packed,
        load_seconds=[],
        files={name: describe_file(staging / name, progress.advance) for name in written},
        times={name: time_ns for name, (_, time_ns) in written.items()},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    logits, seconds = compute(bundle, made)
    if not np.array_equal(logits, expected):
        raise VerificationError(
            "the prepared copy computes other logits than the bundle; it was not kept",
            hint="report this, with the output of youtu-onnx doctor; the bundle runs as it is",
        )
    if stamps(bundle.path, graph) != before or Manifest.read(bundle.file(names.MANIFEST)) != bundle.manifest:
        raise BundleError(f"{bundle.path} was written to while its copy was made", hint="try again when that is finished")
    made = dataclasses.replace(made, load_seconds=[own_seconds, seconds])
    made.write()
    for name in (RECORD, *files_of(graph)):
        (staging / name).chmod(0o600)
        with (staging / name).open("rb+") as stream:
            os.fsync(stream.fileno())
    return made


def _write_packed(staging: Path, bundle: Bundle, graph: str) -> None:
    """Let ONNX Runtime write the graph, optimized where it does so, and its weights plain and packed."""
    options = session_options(bundle, providers.provider("cpu"), thread_count(None))
    options.optimized_model_filepath = str(staging / graph)
    for name, value in (
        ("optimized_model_external_initializers_file_name", names.MODEL_DATA),
        ("optimized_model_external_initializers_min_size_in_bytes", "1024"),
        ("save_external_prepacked_constant_initializers", "1"),
    ):
        options.add_session_config_entry(f"session.{name}", value)
    try:
        ort.InferenceSession(bundle.file(graph), options, providers=["CPUExecutionProvider"])
        stamps(staging, graph)
    except Exception as error:  # the bundle itself opened a moment ago, so it is the writing that failed
        raise ResourceError(
            f"onnxruntime could not write a prepared copy to {staging.parent}: {str(error).strip()}", hint=_MORE_ROOM
        ) from error


def _logits(bundle: Bundle, copy: Prepared | None) -> tuple[np.ndarray, float]:
    """Logits ``[1, 16, V]`` of the bundle or its copy, and the seconds that opening took. Every packed weight is used."""
    started = time.perf_counter()
    model = OrtModel(bundle, "cpu", find=lambda _: copy)
    seconds = time.perf_counter() - started
    _check_opened(model.prepared, copy)
    ids = 7 * np.arange(16)[None] % bundle.manifest.model.vocab_size
    logits, _ = model.run(ids, np.ones_like(ids), np.arange(16)[None])
    model.close()
    return logits, round(seconds, 3)


def _batch_logits(bundle: Bundle, copy: Prepared | None) -> tuple[np.ndarray, float]:
    """As :func:`_logits`, of the batch graph: ``[3, V]``, of a chunk so long that keys and values are expanded, then of its
    sequence in a slot and of a chunk so short that they aren't."""
    started = time.perf_counter()
    model = SlotModel(bundle, find=lambda _: copy)
    seconds = time.perf_counter() - started
    _check_opened(model.prepared, copy)
    ids = (
        7 * np.arange(min(model.bundle.manifest.graph.expands_from or 1, model.context_length - 1)) % model.vocab_size
    ).tolist()
    first, second = model.new_cache(), model.new_cache()
    rows = [model.step({}, Chunk(first, ids, True)), model.step({0: (first, 3)}, Chunk(second, ids[:2], True))]
    model.close()
    return np.concatenate(rows), round(seconds, 3)


def _check_opened(opened: Prepared | None, copy: Prepared | None) -> None:
    if opened is not copy:
        raise VerificationError(
            "onnxruntime can't open the copy that it wrote; it was not kept",
            hint="report this, with the output of youtu-onnx doctor; the bundle runs as it is",
        )


def _packed_bytes(graph: Path) -> int:
    return sum(int(length) for places in _PACKED.findall(graph.read_bytes()) for length in re.findall(rb"\|\d+;(\d+);", places))


@contextlib.contextmanager
def _growth_reported(folder: Path, progress: Progress) -> Iterator[None]:
    """Report the bytes that appear in a folder meanwhile: ONNX Runtime itself says nothing until it is done."""
    done = threading.Event()

    def watch() -> None:
        told, last = 0, False
        while not last:
            last = done.wait(0.2)
            size = sum(path.stat().st_size for path in folder.iterdir())
            progress.advance(size - told)
            told = size

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@contextlib.contextmanager
def _locked(progress: Progress) -> Iterator[Path]:
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
            raise ResourceError(f"the disk of {root} is full ({error.strerror})", hint=_MORE_ROOM) from error
        raise ResourceError(
            f"can't keep prepared weights in {root}: {error.strerror or error}",
            hint="close programs that use them, or name a folder that is yours in XDG_CACHE_HOME",
        ) from error


def _check_room(root: Path, bundle: Bundle) -> None:
    needed = int(bundle.manifest.files[names.MODEL_DATA].size * ROOM)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise ResourceError(
            f"a prepared copy may need {needed / 1e9:.2f} GB, and {root} has {free / 1e9:.2f} GB free", hint=_MORE_ROOM
        )


def _clean_up(root: Path, bundle: Bundle, progress: Progress) -> None:
    """Remove the copies that nothing can use any more. Those of the user's other machines stay."""
    for folder in folders(root):
        if why := _why_useless(folder, bundle):
            size = sum(path.stat().st_size for path in folder.iterdir())
            _delete(folder)
            progress.note(f"removed a prepared copy of {size / 1e6:,.1f} MB: {why}")


def _why_useless(folder: Path, bundle: Bundle) -> str | None:
    """``bundle``: one that is being prepared."""
    if folder.suffix == PARTIAL:
        return "its making was broken off"
    try:
        own = Prepared.read(folder).key
    except Unusable as why:
        return str(why)
    key, graph = key_of(bundle), graph_of(own)
    if any(own.get(part) != key[part] for part in ("machine", "cpu")):
        return None  # another machine's, with the same home folder
    if not Path(own["bundle"], names.MANIFEST).is_file():
        return f"the bundle {own['bundle']} is gone"
    if own["onnxruntime"] != key["onnxruntime"]:
        return f"it was made by onnxruntime {own['onnxruntime']}, and this is {key['onnxruntime']}"
    if own["bundle"] == key["bundle"] and (graph not in bundle.manifest.files or own != key_of(bundle, graph)):
        return f"the bundle {own['bundle']} was exported again"
    return None


def _delete(folder: Path) -> None:
    """Rename first, so that nobody opens half of it; on Windows this fails while a program has it open."""
    if folder.suffix != PARTIAL:
        aside = folder.with_suffix(PARTIAL)
        if aside.exists():
            _erase(aside)
        folder = folder.rename(aside)
    _erase(folder)


def _erase(folder: Path) -> None:
    """Remove a copy's files and their folder. The record goes last: by it the next run knows whose the rest is."""
    for name in (*GRAPHS, names.MODEL_DATA, RECORD):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _flush(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
