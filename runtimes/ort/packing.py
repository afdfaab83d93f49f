"""Letting ONNX Runtime write a graph with its weights packed for this processor."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.core.progress import Progress
from youtu_onnx.runtimes.ort.prepared_folder import MORE_ROOM
from youtu_onnx.runtimes.ort.prepared_key import stamps
from youtu_onnx.runtimes.ort.session import write_optimized
from youtu_onnx.runtimes.ort.threads import thread_count

PACKED = re.compile(rb"prepacked_\d+\x12[\x00-\xff]{1,2}?[\w.]+\+\d+((?:\|\d+;\d+;\d+)+)")
"""How ONNX Runtime lists packed weights in the graph: ``MatMulNBits+HASH|OFFSET;LENGTH;FLAGS|…``."""


def write_packed(staging: Path, bundle: Bundle, graph: str) -> None:
    """Let ONNX Runtime write the graph, optimized where it does so, and its weights plain and packed.

    Raises:
        ResourceError: it could not.
    """
    entries = {
        "optimized_model_external_initializers_file_name": names.MODEL_DATA,
        "optimized_model_external_initializers_min_size_in_bytes": "1024",
        "save_external_prepacked_constant_initializers": "1",
    }
    try:
        write_optimized(bundle, graph, staging / graph, thread_count(None), entries)
        stamps(staging, graph)
    except Exception as error:  # the bundle itself opened a moment ago, so it is the writing that failed
        raise ResourceError(
            f"onnxruntime could not write a prepared copy to {staging.parent}: {str(error).strip()}", hint=MORE_ROOM
        ) from error


def packed_bytes(graph: Path) -> int:
    """Of packed weights, by what a written graph says of them."""
    return sum(int(length) for places in PACKED.findall(graph.read_bytes()) for length in re.findall(rb"\|\d+;(\d+);", places))


@contextlib.contextmanager
def growth_reported(folder: Path, progress: Progress) -> Iterator[None]:
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
