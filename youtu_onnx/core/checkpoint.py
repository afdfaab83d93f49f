"""A Hugging Face checkpoint on disk, read lazily, one tensor at a time, and trusted in nothing.

Only ``config.json`` and safetensors files are read: no pickle, no remote code. Opening reads headers alone (kilobytes);
every tensor's name, shape and dtype is compared with what the architecture needs before any weight is touched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.bundle.manifest import is_plain_name
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.hub import locate
from youtu_onnx.families.youtu.architecture import Architecture

if TYPE_CHECKING:
    import torch

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""safetensors' names of the dtypes that are read → torch's names."""

LISTED_FAULTS = 20
_PIECE = 64 * 2**20


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: ``nbytes`` bytes at ``offset`` of ``file``, row-major, of torch dtype ``dtype``."""

    shape: tuple[int, ...]
    dtype: str
    file: Path
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint whose tensors all exist with the right shapes.

    Attributes:
        name: what a manifest records as the source: hub id, built-in name or the folder's own name.
        revision: the hub commit, where one is known.
        tensors: exactly the names of ``architecture.tensor_shapes()``.
        weight_files: the safetensors files, in name order.
    """

    path: Path
    name: str
    revision: str | None
    config: Mapping[str, Any]
    architecture: Architecture
    tensors: Mapping[str, TensorInfo]
    weight_files: tuple[Path, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all weights, as stored."""
        return sum(info.nbytes for info in self.tensors.values())

    @classmethod
    def open(cls, model: str | Path, *, revision: str | None = None, offline: bool = False) -> Checkpoint:
        """Open a folder, a built-in name (``youtu-nano``) or a hub id (``org/name``, fetched into the hub's cache).

        A built-in name wins over a folder of the same name (write ``./youtu-nano`` for the folder); an existing
        folder wins over a hub id.

        Raises:
            CheckpointError: not found, not a Youtu model, or damaged; every fault is named, not the first only.
            UsageError: ``revision`` with something that has none.
        """
        folder, name, revision = locate(str(model), revision, offline)
        config = _read_object(folder / CONFIG, "a checkpoint folder holds config.json beside its weights")
        architecture = Architecture.from_config(config, where=str(folder / CONFIG))
        files = _weight_files(folder)
        tensors, faults = _read_headers(files)
        faults += _faults(architecture, tensors)
        if faults:
            listed = faults[:LISTED_FAULTS] + [f"… and {len(faults) - LISTED_FAULTS} more"] * (len(faults) > LISTED_FAULTS)
            raise CheckpointError(
                f"the weights in {folder} don't fit its config.json:\n  - " + "\n  - ".join(listed),
                hint="download the checkpoint again, all files from one revision",
            )
        needed = {name: tensors[name] for name in architecture.tensor_shapes()}
        return cls(folder, name, revision, config, architecture, needed, files)

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor in its stored dtype. Costs its own bytes in memory and nothing once it is dropped.

        Raises:
            CheckpointError: the file shrank since it was opened, or the tensor holds NaN or infinity.
        """
        return self.rows(name, 0, self.tensors[name].shape[0])

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """``tensor(name)[start:stop]`` for the memory of those rows: an embedding needn't be held whole.

        Read with seek, not mapped: mapped pages count as resident memory until the mapping goes.
        """
        torch = _torch()
        info = self.tensors[name]
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
        tensor = data.view(getattr(torch, info.dtype)).reshape(stop - start, *info.shape[1:])
        _refuse_not_finite(tensor, name, info.file)
        return tensor


def _read_object(path: Path, missing_hint: str) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent} has no {path.name}", hint=missing_hint) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} can't be read as JSON ({error})", hint="download the checkpoint again") from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path} holds a JSON {type(value).__name__}; expected an object", hint="download the checkpoint again"
        )
    return value


def _weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files in use: ``model.safetensors``, or the shards that the index names."""
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if not (folder / INDEX).is_file():
        present = sorted(path.name for path in folder.iterdir())
        if any(name.endswith(".safetensors") for name in present):
            raise CheckpointError(
                f"{folder} has safetensors files, but neither {SINGLE} nor {INDEX}",
                hint="download the checkpoint again, with its index",
            )
        if any(name.endswith((".bin", ".pt", ".pth")) for name in present):
            raise CheckpointError(
                f"{folder} has only pickled weights (.bin, .pt), which can run any code when loaded; they are refused",
                hint="save them as safetensors where you trust them: "
                "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)",
            )
        raise CheckpointError(f"{folder} has no weights: neither {SINGLE} nor {INDEX}", hint="download the checkpoint again")
    shards = _read_object(folder / INDEX, "").get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError(
            f"{folder / INDEX} has no weight_map of tensor names to file names", hint="download the checkpoint again"
        )
    names = sorted(set(shards.values()))
    outside = [name for name in names if not is_plain_name(name) or not name.endswith(".safetensors")]
    if outside:
        listed = ", ".join(map(repr, outside))
        raise CheckpointError(
            f"{folder / INDEX} names what is no safetensors file of this folder: {listed}", hint="do not use this checkpoint"
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(names)} weight files: {', '.join(missing)}", hint="download the missing files"
        )
    return tuple(folder / name for name in names)


def _read_headers(files: tuple[Path, ...]) -> tuple[dict[str, TensorInfo], list[str]]:
    """What every file says that it holds. Faults are tensors in two files or of a dtype that is not read."""
    tensors: dict[str, TensorInfo] = {}
    faults = []
    for file in files:
        for name, entry in _read_header(file).items():
            (begin, end), dtype = entry["data_offsets"], entry["dtype"]
            if name in tensors:
                faults.append(f"{name} is in {tensors[name].file.name} and in {file.name}")
            if dtype not in DTYPES and not _harmless(name):
                faults.append(f"{name} is {dtype}; read are {', '.join(DTYPES)}")
            tensors[name] = TensorInfo(tuple(entry["shape"]), DTYPES.get(dtype, dtype), file, begin, end - begin)
    return tensors, faults


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
            entries = json.loads(stream.read(length))
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


def _harmless(name: str) -> bool:
    """Buffers that old checkpoints carry and nobody reads."""
    return name.endswith("rotary_emb.inv_freq")


def _faults(architecture: Architecture, tensors: Mapping[str, TensorInfo]) -> list[str]:
    """Every way in which the tensors differ from what the architecture needs."""
    if architecture.num_hidden_layers > len(tensors):  # before a table of that many names is built
        return [f"config.json says num_hidden_layers {architecture.num_hidden_layers}; there are {len(tensors)} tensors in all"]
    shapes = architecture.tensor_shapes()
    faults = [f"{name} is missing" for name in shapes if name not in tensors]
    for name, info in tensors.items():
        if name in shapes and info.shape != shapes[name]:
            faults.append(f"{name} has shape {list(info.shape)}; expected {list(shapes[name])}")
        elif name == "lm_head.weight" and architecture.tie_word_embeddings:
            if "model.embed_tokens.weight" in tensors and not _same(info, tensors["model.embed_tokens.weight"]):
                faults.append("lm_head.weight differs from model.embed_tokens.weight, which config.json says it is tied to")
        elif name not in shapes and not _harmless(name):
            faults.append(f"{name} is not part of this architecture")
    return faults


def _same(one: TensorInfo, other: TensorInfo) -> bool:
    """Whether two tensors hold the same bytes."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    with one.file.open("rb") as a, other.file.open("rb") as b:
        a.seek(one.offset)
        b.seek(other.offset)
        sizes = [min(_PIECE, one.nbytes - done) for done in range(0, one.nbytes, _PIECE)]
        return all(a.read(size) == b.read(size) for size in sizes)


def _refuse_not_finite(tensor: torch.Tensor, name: str, file: Path) -> None:
    """The extremes of a tensor with NaN or infinity are NaN or infinite: one fast pass, no copy."""
    torch = _torch()
    if tensor.numel() and not all(map(torch.isfinite, torch.aminmax(tensor))):
        count = sum(int((~torch.isfinite(piece)).sum()) for piece in tensor.flatten().split(_PIECE))
        raise CheckpointError(
            f"{name} in {file} holds {count} NaN or infinite value{'s' * (count > 1)}",
            hint="download the file again; if it persists, the checkpoint itself is broken",
        )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise CheckpointError("reading weights needs PyTorch", hint="pip install 'youtu-onnx[export]'") from error
    return torch
