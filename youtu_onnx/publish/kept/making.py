"""A checkpoint → the kept bundle of it: exported and prepared the first time, found there every other time."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from youtu_onnx.core import hub
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import BundleError, ResourceError, VerificationError, YoutuOnnxError
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.target import target
from youtu_onnx.publish.kept import store
from youtu_onnx.publish.kept.entry import Entry, choices, folder_name
from youtu_onnx.publish.kept.origin import Origin
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.ort import preparing
from youtu_onnx.runtimes.providers.cpu import CPU

if TYPE_CHECKING:
    from youtu_onnx.publish import exporting
else:
    exporting = Deferred("youtu_onnx.publish.exporting", "exporting", extra="export")


@dataclass(frozen=True)
class Made:
    """A bundle to open, and what it took.

    Attributes:
        seconds: of fetching, exporting and verifying, and of preparing; None where it was there.
        verified: the parity report in a line; None where it was there.
    """

    folder: Path
    seconds: tuple[float, float] | None = None
    verified: str | None = None


def kept_bundle(origin: Origin, options: ExportOptions, progress: Progress, *, update: bool = False) -> Made:
    """The bundle of a checkpoint, made where it isn't there, once whoever asks at the same time.

    Args:
        options: what of them bundles are told apart by is in :func:`youtu_onnx.publish.kept.entry.choices`.
        update: ask the hub whether there is another commit by now, and make a damaged bundle anew.

    Raises:
        CheckpointError, ResourceError, UsageError, VerificationError, YoutuOnnxError: as exporting does; nothing is kept then.
        BundleError: what is kept was damaged since.
    """
    folder = store.root() / folder_name(origin, options)
    kept = store.found(folder)
    if kept is None or update:
        with store.locked(folder, progress):
            kept = store.found(folder)
            if kept is None and origin.folder is None and (bundle := _bundle_on_hub(origin, options, progress)):
                return Made(bundle)
            if kept is None or (update and not _is_newest(kept, origin, options)):
                return _made(origin, options, folder, progress)
    store.use(kept)
    try:
        Bundle.open(folder)
    except BundleError as error:
        again = f"youtu-onnx run {kept.entry.name} --update makes it anew"
        raise BundleError(error.message, hint=again) from error
    return Made(folder)


def _bundle_on_hub(origin: Origin, options: ExportOptions, progress: Progress) -> Path | None:
    """The folder of a bundle that somebody put on the hub; None where the hub has a checkpoint by this name, which is fetched."""
    progress.begin(f"fetching {origin.model}")
    folder, _, _ = hub.locate(origin.model, origin.revision, options.offline)
    bundle = hub.locate_bundle(origin.model, origin.revision, options.offline) if (folder / names.MANIFEST).is_file() else None
    progress.finish()
    return bundle


def _is_newest(kept: store.Kept, origin: Origin, options: ExportOptions) -> bool:
    """Whether making it again would make the same."""
    try:
        Bundle.open(kept.folder)
    except BundleError:
        return False
    return origin.folder is not None or hub.locate(origin.model, origin.revision, options.offline)[2] == kept.entry.commit


def _made(origin: Origin, options: ExportOptions, folder: Path, progress: Progress) -> Made:
    """Under the folder's lock."""
    started = time.perf_counter()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entry = Entry(origin.name, origin.identity(), choices(options), None, now)
    record = store.record_of(folder)
    fresh = folder
    if folder.exists():  # the old one stays until the new one is whole
        fresh = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
    else:
        entry.write(record)  # so that what is made is found, whenever this process ends
    progress.note(f"{origin.name}: exporting to {options.precision}, once; it is kept in {store.root()}")
    try:
        exported = exporting.export_bundle(origin.model, fresh, target(CPU.name), replace(options, verify=True), progress)
    except ResourceError as error:
        hint = store.MORE_ROOM if error.hint and "--output" in error.hint else error.hint
        raise ResourceError(error.message, hint=hint) from error
    except VerificationError as error:
        raise VerificationError(error.message, hint="youtu-onnx export --help lists other ways to store weights") from error
    finally:
        if not folder.exists():
            record.unlink(missing_ok=True)
    if fresh != folder:
        store.discard(folder)
        os.replace(fresh, folder)
    exporting_seconds = time.perf_counter() - started
    entry = replace(entry, commit=exported.bundle.manifest.source.revision)
    entry.write(record)
    _prepare(Bundle.open(folder), progress)
    seconds = time.perf_counter() - started
    replace(entry, seconds=round(seconds, 1)).write(record)
    _discard_former(store.Kept(folder, entry), progress)
    parity = exported.parity
    return Made(folder, (exporting_seconds, seconds - exporting_seconds), parity.summary() if parity else None)


def _prepare(bundle: Bundle, progress: Progress) -> None:
    """Pack the weights for this processor, where its kernels want them packed. Without, the bundle runs all the same."""
    if os.environ.get(library.VARIABLE) != "onnxruntime" and library.found() is not None:
        return  # the native kernels read weights as they are
    try:
        preparing.make(bundle, progress)
    except preparing.NothingPacked:
        pass
    except YoutuOnnxError as error:
        progress.note(f"its weights were not prepared for this processor: {error.message}")


def _discard_former(kept: store.Kept, progress: Progress) -> None:
    """Remove what was made of the same folder before it changed."""
    for other in store.all_kept():
        alike = (other.entry.name, other.entry.options) == (kept.entry.name, kept.entry.options)
        if alike and other.folder != kept.folder and "folder" in other.entry.origin:
            size = store.remove(other)
            progress.note(f"removed a bundle of {size / 1e6:,.1f} MB: {other.entry.name} has changed since it was made")
