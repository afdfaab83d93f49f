"""What decides what is in a prepared copy: the graph, the weights, the processor, the version of ONNX Runtime."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from youtu_onnx.core import machine
from youtu_onnx.core.bundle import Bundle, names

FORMAT_VERSION = 1
"""Of a copy's folder, and of how the adapter opens a graph: raise it where
:func:`youtu_onnx.runtimes.ort.session.session_options` changes what is packed."""

GRAPHS = (names.MODEL, names.BATCH)
"""A copy is of one of them; its folder has the graph under this name, and beside it ``model.onnx.data``."""


def files_of(graph: str) -> tuple[str, str]:
    """A graph's own file and its weights', in a bundle and in a copy."""
    return graph, names.MODEL_DATA


def graph_of(key: Mapping[str, str]) -> str:
    """Which graph a key is about."""
    return names.BATCH if names.BATCH in key else names.MODEL


def key_of(bundle: Bundle, graph: str = names.MODEL) -> dict[str, str]:
    """All that decides what is in a copy; and the bundle's path, so that a copy can end with its bundle."""
    return {
        "format": str(FORMAT_VERSION),
        "bundle": os.path.realpath(bundle.path),
        **{name: bundle.manifest.files[name].sha256 for name in files_of(graph)},
        "onnxruntime": ort.__version__,
        "machine": platform.machine(),
        "cpu": _cpu(),
    }


def name_of(bundle: Bundle, graph: str = names.MODEL) -> str:
    """The name of the folder for the key."""
    return hashlib.sha256(json.dumps(key_of(bundle, graph), sort_keys=True).encode()).hexdigest()[:32]


def stamps(folder: Path, graph: str) -> dict[str, list[int]]:
    """Size and modification time (ns) of a graph and its weights."""
    found = {name: (folder / name).stat() for name in files_of(graph)}
    return {name: [one.st_size, one.st_mtime_ns] for name, one in found.items()}


@functools.cache
def _cpu() -> str:
    features = " ".join(sorted((machine.cpuinfo("flags", "Features") or "").split()))
    return f"{machine.cpu_name()} {hashlib.sha256(features.encode()).hexdigest()[:16]}"
