"""The streamer: every weight is read, packed, written and forgotten, one after another.

Peak memory is one checkpoint tensor as stored, its packed form, and a few chunks of 64 MiB; and one result of what parameters
share, a layer's heads, which are small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from youtu_onnx.core.bundle import FileEntry, names
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.progress import Progress
from youtu_onnx.exporters.assembly import Assembly, Packing
from youtu_onnx.exporters.unfinished import Unfinished
from youtu_onnx.families.reference import Weights
from youtu_onnx.graphs.builder import dtype_of
from youtu_onnx.graphs.parameter import Given, Parameter

PAGE = 2**16
"""Alignment of large tensors: the granularity at which every system, Windows included, maps a file."""
LARGE = 16 * PAGE
"""Bytes from which that is worth half a page on average: less than 3 %. Of a model of 177 million parameters, whose matrices have
some hundred thousand numbers, the gaps were 11 % of the file when all beyond a page had one. ONNX Runtime maps the others, too,
from the page before them on."""
ALIGN = 64


def most_bytes(nbytes: int) -> int:
    """That a tensor of so many takes up in the data file, what is before it to align it included."""
    return nbytes + (PAGE if nbytes >= LARGE else ALIGN) - 1 if nbytes else 0


class DataFile:
    """``model.onnx.data`` while it is written: appends tensors, aligned, and hashes what it writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0

    def append(self, array: NDArray[Any]) -> int:
        """Write an array's bytes, little-endian and row-major; returns their offset."""
        data = np.ascontiguousarray(array).data.cast("B") if array.size else memoryview(b"")
        self._write(bytes(-self._size % (PAGE if len(data) >= LARGE else ALIGN)))
        offset = self._size
        self._write(data)
        return offset

    def close(self) -> FileEntry:
        self._stream.close()
        return FileEntry(self._size, self._digest.hexdigest())

    def _write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self._digest.update(data)
        self._size += len(data)


def write_weights(
    assembly: Assembly, weights: Weights, folder: Path, progress: Progress, unfinished: Unfinished | None = None
) -> FileEntry:
    """Write all packings to ``folder``'s data file and point the initializers of its graphs at it.

    Args:
        unfinished: blocks of integers are taken from there, and put there where they weren't; None: they are cheap to make.

    Raises:
        CheckpointError: a weight that becomes infinite in the dtype it is stored in.
        OSError: the disk is full.
    """
    progress.begin("weights", total=packed_bytes(assembly))
    file = DataFile(folder / names.MODEL_DATA)
    offsets: dict[str, tuple[int, int]] = {}
    build = builder(weights.tensor)
    try:
        for name, packing in assembly.packings.items():
            taken = unfinished if packing.storage else None
            arrays = taken.get(name, packing.pieces) if taken else None
            if arrays is None:
                arrays = _pack(name, packing, build)
                if taken:
                    taken.put(name, arrays)
            packing.packed(arrays)
            for piece, array in zip(packing.pieces, arrays, strict=True):
                if tuple(array.shape) != tuple(piece.shape) or array.dtype != piece.dtype.numpy():
                    raise AssertionError(f"{piece.name}: packed {array.dtype}{array.shape}, graph has {piece.dtype}{piece.shape}")
                offsets[piece.name] = (file.append(array), array.nbytes)
                progress.advance(array.nbytes)
    finally:
        entry = file.close()
    for alias, of in assembly.aliases.items():
        offsets[alias] = offsets[of]
    for one in filter(None, (assembly, assembly.batch)):
        _point(one, offsets, folder)
    return entry


def _point(assembly: Assembly, offsets: dict[str, tuple[int, int]], folder: Path) -> None:
    """Give initializers the bytes of the data file that have their names."""
    for name in (*(piece.name for packing in assembly.packings.values() for piece in packing.pieces), *assembly.aliases):
        value = assembly.graph.initializers[name]
        assert value.shape is not None
        value.const_value = ir.ExternalTensor(
            names.MODEL_DATA, *offsets[name], dtype_of(value), shape=value.shape, name=name, base_dir=folder
        )


def packed_bytes(assembly: Assembly) -> int:
    """Bytes of all weights in the data file, alignment aside."""
    return sum(piece.nbytes for packing in assembly.packings.values() for piece in packing.pieces)


def builder(read: Callable[[str], Tensor]) -> Callable[[Parameter], Tensor]:
    """From parameters to their numbers; ``read`` gives a checkpoint's tensor by name.

    The last shared step is remembered: parameters that have it in common cost one reading if they come one after another.
    """

    def given(sources: tuple[str, ...]) -> Given:
        return {name: read(name) for name in sources}

    @lru_cache(maxsize=1)
    def share(step: Callable[[Given], Any], sources: tuple[str, ...]) -> Any:
        return step(given(sources))

    def build(parameter: Parameter) -> Tensor:
        if parameter.shared is None:
            return parameter.build(given(parameter.sources))
        return parameter.build(share(parameter.shared, parameter.sources))

    return build


def _pack(name: str, packing: Packing, build: Callable[[Parameter], Tensor]) -> tuple[NDArray[Any], ...]:
    parameter = packing.parameter
    with torch.no_grad():
        arrays = packing.pack(lambda: build(parameter))
    for piece, array in zip(packing.pieces, arrays, strict=True):
        if array.dtype == np.float16 and not np.isfinite(array).all():
            raise CheckpointError(
                f"{' + '.join(parameter.tensors) or name}: numbers beyond float16's 65504 in {piece.name}",
                hint="export for a target with float32 activations: --target cpu --precision int4 or fp32",
            )
    return arrays
