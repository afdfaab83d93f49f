"""Bundles with a fault, whose manifest vouches for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file

DTYPES = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.FLOAT16: np.float16, onnx.TensorProto.UINT8: np.uint8}


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """Make the manifest agree with the files as they are now."""
    manifest = Manifest.read(folder / names.MANIFEST)
    files = {name: describe_file(folder / name) for name in manifest.files}
    (folder / names.MANIFEST).write_text(replace(manifest, files=files, **changes).to_json(), encoding="utf-8")


def stored(folder: Path, name: str) -> NDArray[Any]:
    """A tensor in the data file: what is written to it is written there."""
    graph = onnx.load(folder / names.MODEL, load_external_data=False).graph
    [tensor] = [one for one in graph.initializer if one.name == name]
    offset = next(int(entry.value) for entry in tensor.external_data if entry.key == "offset")
    return np.memmap(folder / names.MODEL_DATA, DTYPES[tensor.data_type], "r+", offset, tuple(tensor.dims))
