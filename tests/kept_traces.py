"""Traces kept in files: what one process traced, no other process of the test run traces again, and no later run.

Tracing is nearly all that an export of a small model takes: 2 to 7 seconds, where everything else takes a tenth of one.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir
from filelock import FileLock

from youtu_onnx.families.microreason.graph.exportable import MICROREASON_GRAPHS
from youtu_onnx.families.youtu.graph.exportable import YOUTU_GRAPHS
from youtu_onnx.graphs.traces import InMemory, Traces

PACKAGE = Path(__file__).parents[1] / "youtu_onnx"
ROOMS = ("core", "families", "graphs")
"""Whose code makes traces."""
TOOLS = ("torch", "onnx", "onnx-ir", "onnxscript")
VARIABLE = "YOUTU_ONNX_TEST_TRACES"
DAY = 24 * 3600
FAMILIES = (YOUTU_GRAPHS, MICROREASON_GRAPHS)
NOT_THERE = "weights are not in traces"


class InFiles:
    """Implements :class:`youtu_onnx.graphs.traces.Traces`: a folder for each key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = InMemory(most=8)

    def parts(self, key: Hashable, trace: Callable[[], Mapping[str, ir.Model]]) -> Mapping[str, ir.Model]:
        return self._read.parts(key, lambda: self._found(key, trace))

    def _found(self, key: Hashable, trace: Callable[[], Mapping[str, ir.Model]]) -> Mapping[str, ir.Model]:
        folder = self._folder / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                making = folder.with_suffix(".making")
                shutil.rmtree(making, ignore_errors=True)
                making.mkdir()
                read_operators_once()
                for name, part in trace().items():
                    _write(part, making / f"{name}.onnx")
                making.rename(folder)
        return {file.stem: _read(file) for file in folder.glob("*.onnx")}


@functools.cache
def read_operators_once() -> None:
    """For each trace torch has onnxscript parse the sources of its 500 operators, a tenth of all it does. They don't change."""
    from torch.onnx._internal import _lazy_import

    apis = _lazy_import.onnxscript_apis
    apis.get_torchlib_ops = functools.cache(apis.get_torchlib_ops)


def _write(part: ir.Model, file: Path) -> None:
    """Initializers without data, which are weights, are written as data in a file that doesn't exist."""
    for node in part.graph:
        node.metadata_props.clear()
    for name, value in part.graph.initializers.items():
        if value.const_value is None:
            assert value.shape is not None and value.dtype is not None
            value.const_value = ir.ExternalTensor(NOT_THERE, 0, 0, value.dtype, shape=value.shape, name=name)
    file.write_bytes(ir.to_proto(part).SerializeToString())


def _read(file: Path) -> ir.Model:
    part = ir.load(file)
    for value in part.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = None
    return part


@functools.cache
def code() -> str:
    """A name for the code that makes traces: its files and its tools."""
    digest = hashlib.sha256(" ".join([platform.python_version(), *map(version, TOOLS)]).encode())
    for file in sorted(file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")):
        digest.update(str(file.relative_to(PACKAGE)).encode() + file.read_bytes())
    return digest.hexdigest()[:32]


def keep_traces(folder: Path) -> None:
    """Every export of this process from now on keeps its traces there, and takes those that are there.

    What other code made is left alone for a day, in which somebody may come back to it.
    """
    if isinstance(YOUTU_GRAPHS.traces, InFiles):
        return
    own = folder / code()
    own.mkdir(parents=True, exist_ok=True)
    os.utime(own)
    for other in folder.iterdir():
        if other.stat().st_mtime < time.time() - DAY:
            shutil.rmtree(other, ignore_errors=True)
    for family in FAMILIES:
        family.traces = InFiles(own)


def keep_traces_of_the_run() -> None:
    """For programs that tests start, whose environment names the folder."""
    keep_traces(Path(os.environ[VARIABLE]))


@contextmanager
def keeping(traces: Traces) -> Iterator[None]:
    """Traces are kept elsewhere for a while: in memory of its own for a test that changes what is traced."""
    before = [family.traces for family in FAMILIES]
    for family in FAMILIES:
        family.traces = traces
    try:
        yield
    finally:
        for family, kept in zip(FAMILIES, before, strict=True):
            family.traces = kept
