"""Safetensors files, read lazily and trusted in nothing: headers first (kilobytes), then one tensor's bytes at a time.

No pickle and no code is ever read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
"""safetensors' names of the dtypes that weights have → torch's names."""
PACKED_DTYPES = {"I64": "int64", "I32": "int32", "I8": "int8", "U8": "uint8", "F8_E4M3": "float8_e4m3fn"}
"""The same, of those in which parts of quantized weights are stored."""
_PIECE = 64 * 2**20


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: ``nbytes`` bytes at ``offset`` of ``file``, row-major, of torch dtype ``dtype``; one that no weight
    has goes by safetensors' name."""

    shape: tuple[int, ...]
    dtype: str
    file: Path
    offset: int
    nbytes: int


def read_headers(files: tuple[Path, ...]) -> tuple[dict[str, TensorInfo], list[str]]:
    """What every file says that it holds, by tensor, and faults: tensors in two files.

    Raises:
        CheckpointError: a file is damaged, or safetensors isn't installed.
    """
    tensors: dict[str, TensorInfo] = {}
    faults = []
    for file in files:
        for name, entry in _read_header(file).items():
            (begin, end), dtype = entry["data_offsets"], entry["dtype"]
            if name in tensors:
                faults.append(f"{name} is in {tensors[name].file.name} and in {file.name}")
            tensors[name] = TensorInfo(tuple(entry["shape"]), DTYPES.get(dtype, dtype), file, begin, end - begin)
    return tensors, faults


def of_other_dtypes(tensors: Mapping[str, TensorInfo]) -> list[str]:
    """Faults: weights of a dtype that no weight has."""
    floats = DTYPES.values()
    return [
        f"{name} is {info.dtype}; read are {', '.join(DTYPES)}"
        for name, info in tensors.items()
        if info.dtype not in floats and not is_harmless(name)
    ]


def read_rows(name: str, info: TensorInfo, start: int, stop: int) -> Tensor:
    """Rows ``start`` to ``stop`` of a tensor in its stored dtype, for the memory of those rows: an embedding needn't be whole.
    float64 becomes float32, than which nothing computes in more.

    Read with seek, not mapped: mapped pages count as resident memory until the mapping goes.

    Raises:
        CheckpointError: the file shrank since it was opened, or the rows hold NaN or infinity.
    """
    torch = _torch()
    stride = info.nbytes // info.shape[0]
    data = torch.empty((stop - start) * stride, dtype=torch.uint8)
    view = memoryview(data.numpy())
    try:
        with info.file.open("rb", buffering=0) as stream:
            stream.seek(info.offset + start * stride)
            done = 0
            while done < len(view) and (count := stream.readinto(view[done : done + _PIECE])):
                done += count
    except OSError as error:
        raise CheckpointError(
            f"{info.file}: can't be read ({error.strerror or error})", hint="check the disk and the file's permissions"
        ) from error
    if done < len(view):
        raise CheckpointError(
            f"{info.file} was cut short while it was being read: {name} ends {len(view) - done} bytes early",
            hint="download the checkpoint again",
        )
    dtype = PACKED_DTYPES.get(info.dtype, info.dtype)
    tensor: Tensor = data.view(getattr(torch, dtype)).reshape(stop - start, *info.shape[1:])
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    if tensor.is_floating_point():
        _refuse_not_finite(tensor if info.dtype in DTYPES.values() else tensor.float(), name, info.file)
    return tensor


class Likeness(Enum):
    """Of two tensors. ``ROUNDED``: one is the other in a dtype that can't hold all of its numbers."""

    SAME = auto()
    ROUNDED = auto()
    DIFFERENT = auto()


def likeness(one: TensorInfo, other: TensorInfo) -> Likeness:
    """Whether two tensors hold the same numbers, whatever their dtypes. Costs the memory of a piece of each.

    Raises:
        CheckpointError: as :func:`read_rows` does; PyTorch isn't installed and they are of two dtypes.
    """
    readable = {one.dtype, other.dtype} <= set(DTYPES.values())
    if one.shape != other.shape or not all(one.shape) or not one.shape or not readable:
        return Likeness.DIFFERENT
    if one.dtype == other.dtype:
        return Likeness.SAME if _same_bytes(one, other) else Likeness.DIFFERENT
    torch = _torch()
    step, found = max(1, _PIECE // max(1, one.nbytes // one.shape[0], other.nbytes // one.shape[0])), Likeness.SAME
    for start in range(0, one.shape[0], step):
        stop = min(start + step, one.shape[0])
        a, b = (read_rows(info.file.name, info, start, stop) for info in (one, other))
        if torch.equal(a.float(), b.float()):
            continue
        if not torch.equal(a.to(b.dtype), b) and not torch.equal(b.to(a.dtype), a):
            return Likeness.DIFFERENT
        found = Likeness.ROUNDED
    return found


def _same_bytes(one: TensorInfo, other: TensorInfo) -> bool:
    with one.file.open("rb") as a, other.file.open("rb") as b:
        a.seek(one.offset)
        b.seek(other.offset)
        sizes = [min(_PIECE, one.nbytes - done) for done in range(0, one.nbytes, _PIECE)]
        return all(a.read(size) == b.read(size) for size in sizes)


def is_harmless(name: str) -> bool:
    """Buffers that old checkpoints carry and nobody reads."""
    return name.endswith("rotary_emb.inv_freq")


def _read_header(file: Path) -> dict[str, dict[str, Any]]:
    """Entries of a safetensors file that its own library accepted, ``data_offsets`` counted from the file's start."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise CheckpointError("reading a checkpoint needs safetensors", hint="pip install 'youtu-onnx[export]'") from error
    try:
        with safe_open(str(file), framework="np"):
            pass
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            entries: dict[str, dict[str, Any]] = json.loads(stream.read(length))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{file} is damaged: {_diagnosis(file) or error}", hint="download this file again") from error
    entries.pop("__metadata__", None)
    for entry in entries.values():
        entry["data_offsets"] = [8 + length + offset for offset in entry["data_offsets"]]
    return entries


def _diagnosis(file: Path) -> str | None:
    """What is wrong with a file that safetensors refuses, where that can be told in plain words."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            if size < 8:
                return f"{size} bytes, too few for a safetensors file"
            if start == b"version ":
                return "it is a Git LFS pointer, not the weights themselves (git lfs pull fetches them)"
            if length > size - 8:
                return f"its header should be {length} bytes long, the file has {size}"
            entries = json.loads(stream.read(length))
        expected = 8 + length + max(e["data_offsets"][1] for name, e in entries.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None
    return f"{size} bytes, expected {expected}" if size != expected else None


def _refuse_not_finite(tensor: Tensor, name: str, file: Path) -> None:
    """The extremes of a tensor with NaN or infinity are NaN or infinite: one fast pass, no copy."""
    torch = _torch()
    if tensor.numel() and not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor)):
        count = sum(int((~torch.isfinite(piece)).sum()) for piece in torch.split(tensor.flatten(), _PIECE))
        raise CheckpointError(
            f"{name} in {file} holds {count} NaN or infinite value{'s' * (count > 1)}",
            hint="download the file again; if it persists, the checkpoint itself is broken",
        )


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise CheckpointError("reading weights needs PyTorch", hint="pip install 'youtu-onnx[export]'") from error
    return torch
