"""Making and removing prepared copies: whole or not at all, one process at a time.

A copy is written to ``KEY.partial`` in the cache folder, compared with its bundle, and renamed, all under one lock
(``prepared_folder.py``).
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import BundleError, ResourceError, UsageError, VerificationError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.runtimes.ort.packing import growth_reported, packed_bytes, write_packed
from youtu_onnx.runtimes.ort.prepared import Prepared, usable
from youtu_onnx.runtimes.ort.prepared_folder import (
    MORE_ROOM,
    PARTIAL,
    RECORD,
    Unusable,
    cache_folder,
    delete,
    erase,
    flush,
    folders,
    is_ours,
    locked,
)
from youtu_onnx.runtimes.ort.prepared_key import files_of, graph_of, key_of, name_of, stamps
from youtu_onnx.runtimes.ort.prepared_proof import batch_logits, model_logits
from youtu_onnx.runtimes.ort.session import session_options
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers.cpu import CPU

ROOM = 2.25
"""Disk space that is asked for, over the size of the bundle's weights. Seen: 1.7 to 2.1."""


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
    with locked(progress) as root:
        folder = root / name_of(bundle, graph)
        _clean_up(root, bundle, progress)
        if os.path.lexists(folder):
            try:
                found = usable(folder, bundle, graph)
                found.session(session_options(bundle, CPU, thread_count(None)))
                return found, False
            except Unusable as why:
                if not is_ours(folder):
                    raise ResourceError(f"{folder} is in the way, and not from youtu-onnx", hint="remove it") from why
                progress.note(f"the copy that is there is made anew: {why}")
                delete(folder)
        _check_room(root, bundle)
        staging = folder.with_suffix(PARTIAL)
        staging.mkdir(mode=0o700)
        try:
            (staging / RECORD).touch()  # by which the next run knows what a killed one left
            made = _fill(staging, bundle, graph, progress)
            os.replace(staging, folder)
        finally:
            if staging.exists():
                erase(staging)
            progress.finish()
        flush(root)
        return dataclasses.replace(made, folder=folder), True


def remove(bundle: Path) -> list[Path]:
    """Remove all copies of the bundle at a path, which need not be there any more, and broken ones; the folders removed.

    Raises:
        ResourceError: the cache folder isn't this user's, or (on Windows) a program has the copy open.
    """
    gone: list[Path] = []
    if not cache_folder().is_dir():
        return gone
    with locked(Silent()) as root:
        for folder in folders(root):
            try:
                wanted = Prepared.read(folder).key["bundle"] == os.path.realpath(bundle)
            except Unusable:
                wanted = True  # of use to nobody
            if wanted:
                delete(folder)
                gone.append(folder)
    return gone


def _fill(staging: Path, bundle: Bundle, graph: str, progress: Progress) -> Prepared:
    """Write a copy, and prove that it computes the same: logits are compared bit by bit."""
    compute = batch_logits if graph == names.BATCH else model_logits
    before = stamps(bundle.path, graph)
    progress.begin("opening the bundle")
    expected, own_seconds = compute(bundle, None)
    progress.begin("packing weights", 2 * bundle.manifest.files[names.MODEL_DATA].size)
    with growth_reported(staging, progress):
        write_packed(staging, bundle, graph)
    packed = packed_bytes(staging / graph)
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


def _check_room(root: Path, bundle: Bundle) -> None:
    needed = int(bundle.manifest.files[names.MODEL_DATA].size * ROOM)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise ResourceError(
            f"a prepared copy may need {needed / 1e9:.2f} GB, and {root} has {free / 1e9:.2f} GB free", hint=MORE_ROOM
        )


def _clean_up(root: Path, bundle: Bundle, progress: Progress) -> None:
    """Remove the copies that nothing can use any more. Those of the user's other machines stay."""
    for folder in folders(root):
        if why := _why_useless(folder, bundle):
            size = sum(path.stat().st_size for path in folder.iterdir())
            delete(folder)
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
