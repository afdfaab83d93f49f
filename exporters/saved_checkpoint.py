"""A bundle's weights as a checkpoint of compressed-tensors, which transformers loads.

Every matrix that the bundle multiplies by in 4 bits is taken out of the data file with the codes, scales and zero points that it
has there; rows go back to where the checkpoint has them, and factors that the graph moved into scales are taken out again. All
others stay the floats that the checkpoint has: those of 8 bits, W_UK and W_UV, which are no matrix of the checkpoint, and a table
that is looked up, for compressed-tensors packs linear layers.

All matrices get the smallest group size of any, scales repeated: then they are packed alike, and readers that look at one
``config_group`` only, as transformers does with ``dequantize=True``, read them all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from youtu_onnx.core.checkpoint_names import INDEX, SINGLE
from youtu_onnx.core.prequantized.config import KEYS
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.assembly import Assembly, Packing
from youtu_onnx.exporters.quantize.packing import pack_nibbles
from youtu_onnx.exporters.saved_scheme import Scheme, quantization_config
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.tied_head import EMBEDDING, HEAD
from youtu_onnx.graphs.parameter import Rows

SHARD = 2**29
"""Bytes of a file from which on another one is begun; so much is in memory."""
NOTHING = 2.0**-100
TEXT_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "tiktoken.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
"""Of a checkpoint, what is beside its weights and taken over as it is."""


@dataclass(frozen=True)
class SavedConfig:
    """``config.json`` of a saved checkpoint: implements :class:`youtu_onnx.core.bundle.staging.Record`."""

    fields: dict[str, Any]

    def to_json(self) -> str:
        return json.dumps(self.fields, indent=2, ensure_ascii=False) + "\n"


def save_checkpoint(assembly: Assembly, checkpoint: Checkpoint, folder: Path, progress: Progress) -> SavedConfig:
    """Write weights and text files into ``folder``; ``config.json``, which comes last, is returned.

    Args:
        assembly: of a bundle whose data file is written.

    Raises:
        OSError: the disk is full.

    Memory: :data:`SHARD` and one matrix.
    """
    progress.begin("checkpoint in compressed-tensors", total=checkpoint.nbytes)
    places = _places(assembly, checkpoint)
    storages = [place.storage for place in places.values()]
    sizes = [_group_size(place.storage.block_size, place.columns) for place in places.values()]
    scheme = Scheme(min(sizes, default=16), all(storage.symmetric for storage in storages))
    write_shards(_tensors(assembly, checkpoint, places, scheme, progress), folder)
    for name in TEXT_FILES:
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, folder / name)
    linear = [name for name, info in checkpoint.tensors.items() if len(info.shape) == 2 and name != EMBEDDING]
    floats = [name.removesuffix(".weight") for name in dict.fromkeys([*linear, HEAD]) if name not in places]
    config = {name: value for name, value in checkpoint.config.items() if name not in KEYS}
    return SavedConfig(config | {"quantization_config": quantization_config(scheme, floats)})


@dataclass(frozen=True)
class _Place:
    """Where a matrix of the checkpoint is in the bundle: its packing, and which rows of that, ``start`` the first."""

    packing: Packing
    storage: Blockwise
    rows: Rows
    start: int

    @property
    def columns(self) -> int:
        return self.packing.parameter.shape[1]


def _places(assembly: Assembly, checkpoint: Checkpoint) -> dict[str, _Place]:
    """By the checkpoint's names, those that are packed."""
    found: dict[str, _Place] = {}
    for packing in assembly.packings.values():
        if packing.storage is None or packing.storage.bits != 4 or packing.parameter.kind != "matrix":
            continue
        start = 0
        for rows in packing.parameter.rows:
            if rows.tensor != EMBEDDING:
                found[rows.tensor] = _Place(packing, packing.storage, rows, start)
            start += checkpoint.tensors[rows.tensor].shape[0]
    return found


def _tensors(
    assembly: Assembly, checkpoint: Checkpoint, places: Mapping[str, _Place], scheme: Scheme, progress: Progress
) -> Iterator[tuple[str, Tensor]]:
    """All tensors of the checkpoint to be."""
    for name, info in checkpoint.tensors.items():
        if name in places:
            stem = name.removesuffix(".weight")
            for part, tensor in _packed(assembly, checkpoint, places[name], scheme).items():
                yield f"{stem}.{part}", tensor
        else:
            yield name, checkpoint.tensor(name)
        progress.advance(info.nbytes)


def _packed(assembly: Assembly, checkpoint: Checkpoint, place: _Place, scheme: Scheme) -> dict[str, Tensor]:
    """One matrix of the checkpoint, from those rows of a matrix of the bundle."""
    parameter, columns, block = place.packing.parameter, place.columns, place.storage.block_size
    count = checkpoint.tensors[place.rows.tensor].shape[0]
    which = slice(place.start, place.start + count)
    codes, scales, *zero_points = (_stored(assembly, piece.name)[which] for piece in place.packing.pieces)
    back = torch.arange(count) if place.rows.order is None else torch.argsort(place.rows.order())
    scales = scales.float()
    if place.rows.factors is not None:
        given = {name: checkpoint.tensor(name) for name in parameter.sources}
        factors = place.rows.factors(given).float().unsqueeze(1)
        # Next to nothing is the factor of a row that only meets zeros, and what it has been rounded to is nothing, too.
        scales = torch.where(factors.abs() < NOTHING, 0, scales / factors)
    groups = torch.arange(columns // scheme.group_size) * scheme.group_size // block  # the blocks that they are in
    made = {
        "weight_packed": _words(codes.flatten(1)[:, : -(-columns // 2)][back]),
        "weight_scale": scales[back][:, groups].contiguous(),
        "weight_shape": torch.tensor([count, columns]),
    }
    if not scheme.symmetric:
        zeros = torch.full_like(scales, 8, dtype=torch.uint8) if not zero_points else _numbers(zero_points[0])
        by_group = zeros[back][:, groups].T.reshape(-1).view(len(groups), count)
        made["weight_zero_point"] = _words(pack_nibbles(by_group)).T.contiguous()
    return made


def _stored(assembly: Assembly, name: str) -> Tensor:
    value = assembly.graph.initializers[name].const_value
    assert isinstance(value, ir.ExternalTensor)
    return torch.from_numpy(value.numpy().copy())


def _group_size(block: int, columns: int) -> int:
    """The largest part of a block that divides a row: a file has no padding."""
    while columns % block:
        block //= 2
    return block


def _numbers(packed: Tensor) -> Tensor:
    """Two of each byte, that of its low half first."""
    return torch.stack([packed & 15, packed >> 4], -1).flatten(1)


def _words(octets: Tensor) -> Tensor:
    """uint8 ``[R,C]`` → int32 ``[R,ceil(C/4)]``, the first in the lowest bits."""
    return torch.nn.functional.pad(octets, (0, -octets.shape[1] % 4)).contiguous().view(torch.int32)


def write_shards(tensors: Iterator[tuple[str, Tensor]], folder: Path) -> None:
    """One file, or several and an index of them."""
    from safetensors.torch import save_file

    files: list[list[str]] = []
    held: dict[str, Tensor] = {}
    total = 0

    def flush() -> None:
        files.append(list(held))
        path = folder / f"{len(files)}.part"
        path.touch()
        mode = path.stat().st_mode  # what the user's umask allows; safetensors makes files that only their owner can read
        save_file(held, str(path), metadata={"format": "pt"})
        path.chmod(mode)
        held.clear()

    for name, tensor in tensors:
        if held and sum(one.nbytes for one in held.values()) + tensor.nbytes > SHARD:
            flush()
        held[name] = tensor.contiguous()
        total += tensor.nbytes
    flush()
    if len(files) == 1:
        (folder / "1.part").rename(folder / SINGLE)
        return
    place: dict[str, str] = {}
    for number, inside in enumerate(files, 1):
        file = f"model-{number:05}-of-{len(files):05}.safetensors"
        (folder / f"{number}.part").rename(folder / file)
        place |= dict.fromkeys(inside, file)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(place.items()))}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
