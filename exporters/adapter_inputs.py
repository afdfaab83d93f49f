"""What a bundle says of its inputs for adapters: which of the checkpoint's matrices each changes, and where rows stand, scaled.

With it an adapter is put beside a bundle without the checkpoint, and without torch.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from youtu_onnx.core.bundle import names
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.families.adapters.inputs import FORMAT_VERSION
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.graphs.adapted_rows import AdaptedHeads, AdaptedRows


def write_adapter_inputs(assembly: Assembly, checkpoint: Checkpoint, folder: Path) -> None:
    """Read again in :mod:`youtu_onnx.families.adapters.inputs`."""
    arrays: dict[str, Tensor] = {}
    matrices = {}
    for name, parts in assembly.adapted.items():
        stem = name.removesuffix(".weight")
        if any(part.order is not None for part in parts):
            arrays[f"{stem}.order"] = _joined(parts, [_order(part) for part in parts]).float()
        if any(part.factors is not None for part in parts):
            arrays[f"{stem}.factors"] = torch.cat([_factors(part, checkpoint) for part in parts])
        columns = assembly.parameters[name].shape[1]
        matrices[stem] = {"columns": columns, "rows": [[part.module, part.count] for part in parts]}
    heads = {}
    for stem, one in assembly.adapted_heads.items():
        if one.factors is not None:
            arrays[f"{stem}.factors"] = _made(one, checkpoint)
        heads[stem] = {"module": one.module, "heads": one.heads, "key": one.key, "value": one.value, "columns": one.columns}
    fields = {
        "format_version": FORMAT_VERSION,
        "dtype": str(assembly.dtype.numpy()),
        "matrices": matrices,
        "heads": heads,
    }
    (folder / names.ADAPTER_INPUTS).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    save_file(arrays, str(folder / names.ADAPTER_ROWS))


def _joined(parts: tuple[AdaptedRows, ...], orders: list[Tensor]) -> Tensor:
    """Rows of all parts, one part below the other; float32 holds numbers of rows exactly."""
    first, made = 0, []
    for part, order in zip(parts, orders, strict=True):
        made.append(order + first)
        first += part.count
    return torch.cat(made)


def _order(part: AdaptedRows) -> Tensor:
    return torch.arange(part.count) if part.order is None else part.order


def _factors(part: AdaptedRows, checkpoint: Checkpoint) -> Tensor:
    return torch.ones(part.count) if part.factors is None else _made(part, checkpoint)


def _made(part: AdaptedRows | AdaptedHeads, checkpoint: Checkpoint) -> Tensor:
    assert part.factors is not None
    with torch.no_grad():
        return part.factors({name: checkpoint.tensor(name) for name in part.sources}).float()
