"""A Hugging Face checkpoint on disk, read lazily, one tensor at a time, and trusted in nothing.

Only ``config.json`` and safetensors files are read: no pickle, no remote code. Opening reads headers alone (kilobytes);
every tensor's name, shape and dtype is compared with what the architecture needs before any weight is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from youtu_onnx.core.checkpoint_files import CONFIG, read_object, refuse_what_is_no_checkpoint, weight_files
from youtu_onnx.core.errors import CheckpointError, listed
from youtu_onnx.core.hub import locate
from youtu_onnx.core.prequantized.found import Found, packed_among
from youtu_onnx.core.prequantized.packed import Packed
from youtu_onnx.core.safetensors_files import TensorInfo, of_other_dtypes, read_headers, read_rows
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.families.family import Family
from youtu_onnx.families.fit import misfits
from youtu_onnx.families.known import family_of
from youtu_onnx.families.quantized import refuse_quantized
from youtu_onnx.families.tensor_names import adapted, plain
from youtu_onnx.families.tied_head import with_tied_head

if TYPE_CHECKING:
    import torch

LISTED_FAULTS = 20
NO_CONFIG = "a checkpoint folder holds config.json beside its weights"
NO_CONFIG_ON_THE_HUB = f"{NO_CONFIG}; a repository of GGUF or ONNX files has none: name the checkpoint that they were made of"


class Change(Protocol):
    """What is done to a tensor's rows when they are read: an adapter that is merged.

    Attributes:
        name, sha256: of what is merged, for the manifest.
    """

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    def rows(self, name: str, rows: torch.Tensor, start: int) -> torch.Tensor:
        """Rows from ``start`` on of a tensor, as they are stored, and what is read instead; they may be of another dtype."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint whose tensors all exist with the right shapes.

    Attributes:
        name: what a manifest records as the source: hub id, built-in name or the folder's own name.
        revision: the hub commit, where one is known.
        config: ``config.json`` as it is.
        tensors: exactly the names of ``architecture.tensor_shapes()``.
        weight_files: the safetensors files, in name order.
        remarks: sentences about what was read otherwise than it stands in the files.
        packed: those of the tensors that somebody quantized; read as floats they are what the format says that they mean.
        change: what is merged into its weights; None: nothing.
    """

    path: Path
    name: str
    revision: str | None
    config: Mapping[str, Any]
    family: Family[Any]
    architecture: Architecture
    tensors: Mapping[str, TensorInfo]
    weight_files: tuple[Path, ...]
    remarks: tuple[str, ...] = ()
    packed: Mapping[str, Packed] = field(default_factory=dict)
    change: Change | None = None

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
        refuse_what_is_no_checkpoint(folder)
        config = read_object(folder / CONFIG, NO_CONFIG if revision is None else NO_CONFIG_ON_THE_HUB)
        family = family_of(config, where=str(folder / CONFIG))
        architecture = family.parse(config, where=str(folder / CONFIG))
        files = weight_files(folder)
        found = _fitting(folder, config, architecture, files)
        remarks = (*found.remarks, *family.remarks(config, architecture))
        return cls(folder, name, revision, config, family, architecture, found.tensors, files, remarks, found.packed)

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor in its stored dtype; float64, packed ones and what is merged as float32. Costs its own bytes in memory and
        nothing once it is dropped.

        Raises:
            CheckpointError: the file shrank since it was opened, or the tensor holds NaN or infinity.
        """
        return self.rows(name, 0, self.tensors[name].shape[0])

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """``tensor(name)[start:stop]`` for the memory of those rows; of packed ones, where their format has rows."""
        packed = self.packed.get(name)
        rows = packed.rows(start, stop) if packed else read_rows(name, self.tensors[name], start, stop)
        return rows if self.change is None else self.change.rows(name, rows, start)


def _fitting(folder: Path, config: Mapping[str, Any], architecture: Architecture, files: tuple[Path, ...]) -> Found:
    """The tensors that the architecture needs, and remarks.

    Raises:
        CheckpointError: they are not all there, are quantized in a way that isn't read, of an adapter, or there are others.
    """
    stored, faults = read_headers(files)
    unmerged = adapted(stored)
    if unmerged:
        refuse_quantized(folder, config, stored)
        raise CheckpointError(
            f"{folder} holds an adapter that is not merged into the weights: {len(unmerged)} tensors such as {unmerged[0]}",
            hint="merge it, and export the result: model.merge_and_unload().save_pretrained(NEW_FOLDER), of PEFT",
        )
    few = architecture.num_hidden_layers <= len(stored)  # else a table of absurdly many names would be built
    needed = architecture.tensor_shapes() if few else {}
    named = plain(stored, needed) if few else dict(stored)
    changed = [(one, other) for one, other in zip(stored, named, strict=True) if one != other]
    found = packed_among(config, named, needed)
    refuse_quantized(folder, config, found.tensors, but=found.packed)
    remarks = [f"tensors have names from around the model: {one} is read as {other}" for one, other in changed[:1]]
    tensors, remark = with_tied_head(folder, architecture, found.tensors)
    faults += of_other_dtypes({name: info for name, info in tensors.items() if name not in found.packed})
    faults += misfits(architecture, tensors)
    if faults:
        shown = faults[:LISTED_FAULTS] + [f"… and {len(faults) - LISTED_FAULTS} more"] * (len(faults) > LISTED_FAULTS)
        raise CheckpointError(
            listed(f"the weights in {folder} don't fit its config.json", shown),
            hint="compare config.json with the weights, or download the checkpoint again, all files from one revision",
        )
    packed = {name: one for name, one in found.packed.items() if name in tensors}
    return Found({name: tensors[name] for name in needed}, packed, (*remarks, *remark, *found.remarks))
