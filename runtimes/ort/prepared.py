"""Prepared weights: a copy of one of a bundle's graphs that holds its weights as this machine's CPU kernels want them.

ONNX Runtime packs weights for the CPU whenever it opens a graph, into memory of the process. A prepared copy holds them
packed, beside the plain ones, so that every process maps the same pages of one file. It belongs to one graph of one bundle,
one processor and one version of ONNX Runtime, lies in the user's cache folder, and is used only while it is known to be right;
otherwise the bundle's own graph is opened, and a warning of the logger ``youtu_onnx.runtimes.ort.prepared`` says why.

ONNX Runtime compares packed weights with what it would pack. Of damage to plain ones it knows nothing, here as in the bundle;
:func:`check` hashes everything.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle, FileEntry, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.runtimes.ort.prepared_folder import RECORD, Unusable, cache_folder, check_trusted, folders
from youtu_onnx.runtimes.ort.prepared_key import FORMAT_VERSION, GRAPHS, files_of, graph_of, key_of, name_of, stamps
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.sessions import open_session

VARIABLE = "YOUTU_ONNX_PREPARED"
"""``0`` in the environment: no prepared copy is used."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A copy, as its record describes it.

    Attributes:
        folder: where it lies.
        key: what it was made of and for; see :func:`youtu_onnx.runtimes.ort.prepared_key.key_of`.
        bundle_files: size and modification time (ns) of the bundle's files when it was made.
        files: size and SHA-256 of its own files.
        times: modification times (ns) of its own files.
        packed: bytes of packed weights, which every process would otherwise allocate for itself.
        load_seconds: to open the bundle's graph and this one, measured when it was made.
        created: when.
    """

    folder: Path
    key: Mapping[str, str]
    bundle_files: Mapping[str, list[int]]
    files: Mapping[str, FileEntry]
    times: Mapping[str, int]
    packed: int
    load_seconds: list[float]
    created: str

    @property
    def graph(self) -> str:
        """Which of :data:`youtu_onnx.runtimes.ort.prepared_key.GRAPHS` it is a copy of."""
        return graph_of(self.key)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files.values())

    def open(self, options: ort.SessionOptions) -> ort.InferenceSession | None:
        """A session on the CPU; None, with a warning, where ONNX Runtime refuses the copy. ``options`` stay as they were."""
        try:
            return self.session(options)
        except Unusable as why:
            _warn(self.key["bundle"], self.graph, str(why))
            return None

    def session(self, options: ort.SessionOptions) -> ort.InferenceSession:
        """:meth:`open` that raises :class:`Unusable`."""
        before = options.graph_optimization_level
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it was saved optimized
        try:
            return open_session(self.folder / self.graph, options, CPU)
        except Exception as error:  # the binding raises its own classes, all bare Exceptions
            raise Unusable(f"onnxruntime can't open it ({str(error).strip()})") from error
        finally:
            options.graph_optimization_level = before

    def write(self) -> None:
        """Write the record into the folder."""
        fields = asdict(self) | {"format_version": FORMAT_VERSION}
        del fields["folder"]
        (self.folder / RECORD).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Prepared:
        """Read the record of a folder; nothing else in it is looked at.

        Raises:
            Unusable: this version didn't write it.
        """
        try:
            fields = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if fields.pop("format_version") != FORMAT_VERSION:
                raise Unusable("another version of youtu-onnx made it")
            fields["files"] = {name: FileEntry(int(e["size"]), str(e["sha256"])) for name, e in fields["files"].items()}
            made = cls(folder=folder, **fields)
            complete = all(isinstance(made.key[part], str) for part in ("bundle", "onnxruntime"))
            first, second = map(float, made.load_seconds)
            if not complete or not set(files_of(made.graph)) <= made.files.keys() & dict(made.times).keys():
                raise KeyError("files")
            return replace(made, packed=int(made.packed), load_seconds=[first, second])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unusable(f"its {RECORD} can't be read ({type(error).__name__}: {error})") from error


def find(bundle: Bundle, graph: str = names.MODEL) -> Prepared | None:
    """The copy to open instead of a bundle's graph on the CPU; None where there is none, or none that is surely right."""
    if os.environ.get(VARIABLE) == "0":
        return None
    try:
        root = cache_folder()
        if not root.is_dir():
            return None
        folder = root / name_of(bundle, graph)
        if os.path.lexists(folder):
            return usable(folder, bundle, graph)
        if why := _why_absent(root, key_of(bundle, graph)):
            _warn(bundle.path, graph, why)
    except ResourceError:
        pass  # no home, no copies
    except (Unusable, OSError) as why:
        _warn(bundle.path, graph, str(why))
    return None


def find_batch(bundle: Bundle) -> Prepared | None:
    """:func:`find` for the batch graph."""
    return find(bundle, names.BATCH)


def made_of(bundle: Bundle) -> list[str]:
    """The graphs that a bundle has and something stands for in the cache folder, whole or not.

    Raises:
        UsageError: there is nothing of this bundle.
    """
    there = [
        graph for graph in GRAPHS if graph in bundle.manifest.files and os.path.lexists(cache_folder() / name_of(bundle, graph))
    ]
    if not there:
        raise UsageError(
            f"{bundle.path} has no prepared copy for this machine and onnxruntime {ort.__version__}",
            hint=f"make one with: {command(bundle.path, names.MODEL)}",
        )
    return there


def check(bundle: Bundle, progress: Progress | None = None, graph: str = names.MODEL) -> tuple[Path, str | None]:
    """The folder of a bundle's copy, which is there, and what is wrong with it (None: nothing), with every byte hashed."""
    progress = progress or Silent()
    folder = cache_folder() / name_of(bundle, graph)
    try:
        found = usable(folder, bundle, graph)
    except Unusable as why:
        return folder, str(why)
    progress.begin("checking the copy", found.size)
    try:
        damaged = [name for name, entry in found.files.items() if describe_file(folder / name, progress.advance) != entry]
    finally:
        progress.finish()
    return folder, f"{', '.join(damaged)}: contents changed (SHA-256 differs)" if damaged else None


def usable(folder: Path, bundle: Bundle, graph: str = names.MODEL) -> Prepared:
    """Read a copy and check all that is cheap to check: owner, sizes, times, and the hash of the graph.

    Raises:
        Unusable: it isn't a copy of this bundle as it is now, or somebody wrote to it.
    """
    for path in (folder.parent, folder, *(folder / name for name in (RECORD, *files_of(graph)))):
        check_trusted(path)
    found = Prepared.read(folder)
    if found.key != key_of(bundle, graph):
        raise Unusable("it was made of another bundle")
    if found.bundle_files != stamps(bundle.path, graph):
        raise Unusable("the bundle's files changed since it was made")
    for name, (size, time_ns) in stamps(folder, graph).items():
        if size != found.files[name].size:
            raise Unusable(f"its {name} has {size} bytes, expected {found.files[name].size}")
        if time_ns != found.times.get(name):
            raise Unusable(f"its {name} was written to since it was made")
    if describe_file(folder / graph) != found.files[graph]:
        raise Unusable(f"its {graph} changed (SHA-256 differs)")
    return found


def _why_absent(root: Path, key: Mapping[str, str]) -> str | None:
    """What became of a copy that this machine had of a graph; None if it had none, or another machine of the user's has."""
    check_trusted(root)
    for folder in folders(root):
        try:
            other = Prepared.read(folder).key
        except Unusable:
            continue
        if graph_of(other) == graph_of(key) and all(other.get(part) == key[part] for part in ("bundle", "machine", "cpu")):
            if other["onnxruntime"] != key["onnxruntime"]:
                return f"it was made by onnxruntime {other['onnxruntime']}, and this is {key['onnxruntime']}"
            return "the bundle was exported again since it was made"
    return None


def command(bundle: Path | str, graph: str) -> str:
    """What to type for a copy."""
    return f"youtu-onnx prepare {bundle}{' --serve' if graph == names.BATCH else ''}"


def _warn(bundle: Path | str, graph: str, why: str) -> None:
    _log.warning("the prepared copy of %s isn't used: %s; make it again with: %s", bundle, why, command(bundle, graph))
