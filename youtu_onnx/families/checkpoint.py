"""A Hugging Face checkpoint on disk, read lazily, one tensor at a time, and trusted in nothing.

Only ``config.json`` and safetensors files are read: no pickle, no remote code. Opening reads headers alone (kilobytes);
every tensor's name, shape and dtype is compared with what the architecture needs before any weight is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.checkpoint_files import CONFIG, read_object, weight_files
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.hub import locate
from youtu_onnx.core.safetensors_files import TensorInfo, is_harmless, read_headers, read_rows, same_bytes
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.families.family import Family
from youtu_onnx.families.known import family_of

if TYPE_CHECKING:
    import torch

LISTED_FAULTS = 20


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint whose tensors all exist with the right shapes.

    Attributes:
        name: what a manifest records as the source: hub id, built-in name or the folder's own name.
        revision: the hub commit, where one is known.
        config: ``config.json`` as it is.
        tensors: exactly the names of ``architecture.tensor_shapes()``.
        weight_files: the safetensors files, in name order.
    """

    path: Path
    name: str
    revision: str | None
    config: Mapping[str, Any]
    family: Family[Any]
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
            CheckpointError: not found, of no family that is known, or damaged; every fault is named, not the first only.
            UsageError: ``revision`` with something that has none.
        """
        folder, name, revision = locate(str(model), revision, offline)
        config = read_object(folder / CONFIG, "a checkpoint folder holds config.json beside its weights")
        family = family_of(config, where=str(folder / CONFIG))
        architecture = family.parse(config, where=str(folder / CONFIG))
        files = weight_files(folder)
        tensors, faults = read_headers(files)
        faults += _faults(architecture, tensors)
        if faults:
            listed = faults[:LISTED_FAULTS] + [f"… and {len(faults) - LISTED_FAULTS} more"] * (len(faults) > LISTED_FAULTS)
            raise CheckpointError(
                f"the weights in {folder} don't fit its config.json:\n  - " + "\n  - ".join(listed),
                hint="download the checkpoint again, all files from one revision",
            )
        needed = {name: tensors[name] for name in architecture.tensor_shapes()}
        return cls(folder, name, revision, config, family, architecture, needed, files)

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor in its stored dtype. Costs its own bytes in memory and nothing once it is dropped.

        Raises:
            CheckpointError: the file shrank since it was opened, or the tensor holds NaN or infinity.
        """
        return self.rows(name, 0, self.tensors[name].shape[0])

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """``tensor(name)[start:stop]`` for the memory of those rows."""
        return read_rows(name, self.tensors[name], start, stop)


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
            if "model.embed_tokens.weight" in tensors and not same_bytes(info, tensors["model.embed_tokens.weight"]):
                faults.append("lm_head.weight differs from model.embed_tokens.weight, which config.json says it is tied to")
        elif name not in shapes and not is_harmless(name):
            faults.append(f"{name} is not part of this architecture")
    return faults
