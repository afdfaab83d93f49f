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
from youtu_onnx.exporters.placed_rows import PlacedRows, placed_rows
from youtu_onnx.exporters.quantize.packing import pack_nibbles, unpack_nibbles
from youtu_onnx.exporters.saved_scheme import Scheme, quantization_config
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Weights
from youtu_onnx.families.tied_head import EMBEDDING, HEAD

SHARD = 2**29
"""Bytes of a file from which on another one is begun; so much is in memory."""
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


def save_checkpoint(
    assembly: Assembly, checkpoint: Checkpoint, weights: Weights, folder: Path, progress: Progress
) -> SavedConfig:
    """Write weights and text files into ``folder``; ``config.json``, which comes last, is returned.

    Args:
        assembly: of a bundle whose data file is written.
        weights: that it was made of, the checkpoint's or the same model's in other numbers.

    Raises:
        OSError: the disk is full.

    Memory: :data:`SHARD` and one matrix.
    """
    progress.begin("checkpoint in compressed-tensors", total=checkpoint.nbytes)
    places = _places(assembly, checkpoint)
    storages = [place.storage for place in places.values()]
    sizes = [_group_size(place.storage.block_size, place.columns) for place in places.values()]
    scheme = Scheme(min(sizes, default=16), all(storage.symmetric for storage in storages))
    write_shards(_tensors(assembly, checkpoint, weights, places, scheme, progress), folder)
    for name in TEXT_FILES:
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, folder / name)
    linear = [name for name, info in checkpoint.tensors.items() if len(info.shape) == 2 and name != EMBEDDING]
    floats = [name.removesuffix(".weight") for name in dict.fromkeys([*linear, HEAD]) if name not in places]
    config = {name: value for name, value in checkpoint.config.items() if name not in KEYS}
    return SavedConfig(config | {"quantization_config": quantization_config(scheme, floats)})


@dataclass(frozen=True)
class _Place:
    """Where a matrix of the checkpoint is in the bundle."""

    packing: Packing
    storage: Blockwise
    rows: PlacedRows

    @property
    def columns(self) -> int:
        return self.packing.parameter.shape[1]


def _places(assembly: Assembly, checkpoint: Checkpoint) -> dict[str, _Place]:
    """By the checkpoint's names, those that are packed."""
    found: dict[str, _Place] = {}
    for packing in assembly.packings.values():
        if packing.storage is None or packing.storage.bits != 4 or packing.parameter.kind != "matrix":
            continue
        for rows in placed_rows(packing.parameter, checkpoint):
            if rows.tensor != EMBEDDING:
                found[rows.tensor] = _Place(packing, packing.storage, rows)
    return found


def _tensors(
    assembly: Assembly,
    checkpoint: Checkpoint,
    weights: Weights,
    places: Mapping[str, _Place],
    scheme: Scheme,
    progress: Progress,
) -> Iterator[tuple[str, Tensor]]:
    """All tensors of the checkpoint to be."""
    for name, info in checkpoint.tensors.items():
        if name in places:
            stem = name.removesuffix(".weight")
            for part, tensor in _packed(assembly, weights, places[name], scheme).items():
                yield f"{stem}.{part}", tensor
        else:
            yield name, weights.tensor(name)
        progress.advance(info.nbytes)


def _packed(assembly: Assembly, weights: Weights, place: _Place, scheme: Scheme) -> dict[str, Tensor]:
    """One matrix of the checkpoint, from those rows of a matrix of the bundle."""
    columns, block, rows = place.columns, place.storage.block_size, place.rows
    codes, scales, *zero_points = (rows.back(_stored(assembly, piece.name)) for piece in place.packing.pieces)
    scales = rows.without_factors(scales.float(), weights)
    groups = torch.arange(columns // scheme.group_size) * scheme.group_size // block  # the blocks that they are in
    made = {
        "weight_packed": _words(codes.flatten(1)[:, : -(-columns // 2)]),
        "weight_scale": scales[:, groups].contiguous(),
        "weight_shape": torch.tensor([rows.count, columns]),
    }
    if not scheme.symmetric:
        zeros = torch.full_like(scales, 8, dtype=torch.uint8) if not zero_points else unpack_nibbles(zero_points[0])
        by_group = zeros[:, groups].T.reshape(-1).view(len(groups), rows.count)
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
