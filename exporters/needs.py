"""What writing a bundle takes of a machine."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.weights import packed_bytes
from youtu_onnx.families.checkpoint import Checkpoint

BASE_MEMORY = 600 * 10**6
"""Resident bytes of Python with torch and the ONNX libraries, and of tracing."""


@dataclass(frozen=True)
class Needs:
    """What writing a bundle takes, in bytes: peak resident memory, and disk for the bundle itself."""

    memory: int
    disk: int


def needs_of(assembly: Assembly, checkpoint: Checkpoint, *, verified: bool) -> Needs:
    """Estimate before any weight is read; ``verified``: ONNX Runtime will hold the finished bundle, repacked, as well."""

    def bytes_of(tensor: str) -> int:
        info = checkpoint.tensors[tensor]
        return info.nbytes + (8 * prod(info.shape) if tensor in checkpoint.packed else 0)  # its codes, and floats made of them

    largest = max(
        sum(bytes_of(tensor) for tensor in packing.parameter.sources) * len(packing.parameter.tensors)
        + sum(piece.nbytes for piece in packing.pieces) * 2
        for packing in assembly.packings.values()
    )
    stored = packed_bytes(assembly)
    running = int(1.3 * stored) + 300 * 10**6 if verified else 0
    return Needs(BASE_MEMORY + max(500 * 10**6 + largest, running), stored + 64 * 10**6)
