"""A checkpoint with an adapter in its weights: ``B·A`` is added to a tensor's rows when they are read, and nothing is written.

Computed in float32, whatever the checkpoint's dtype: PEFT rounds a merged weight to it, and here it is quantized next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from youtu_onnx.core.safetensors_files import Likeness, likeness
from youtu_onnx.families.adapters.adapter import EMBEDDING, HEAD, Adapter, Factors, Stored
from youtu_onnx.families.adapters.choice import NamedAdapter
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.families.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor


class Merge:
    """Implements :class:`youtu_onnx.families.checkpoint.Change`. Keeps the factors of the tensor that was read last."""

    def __init__(self, adapter: Adapter, modules: Mapping[str, Stored]) -> None:
        """``modules``: those of the adapter, and under whose names."""
        self.name, self.sha256 = adapter.name, adapter.sha256
        self._modules = modules
        self._factors = lru_cache(maxsize=1)(lambda module: modules[module].read())

    def rows(self, name: str, rows: Tensor, start: int) -> Tensor:
        module = name.removesuffix(".weight")
        return _changed(rows, self._factors(module), start) if module in self._modules else rows


def _changed(rows: Tensor, by: Factors, start: int) -> Tensor:
    """Rows of a matrix from ``start`` on, float32; each depends on itself alone, a DoRA's as well."""
    import torch

    stop = start + len(rows)
    left, right = torch.from_numpy(by.left[start:stop].copy()), torch.from_numpy(by.right.copy())
    made: Tensor = rows.float() + by.scale * (left @ right)
    if by.magnitude is None:
        return made
    lengths = torch.linalg.vector_norm(made, dim=1, keepdim=True)
    made *= torch.from_numpy(by.magnitude[start:stop].copy()).unsqueeze(1) / lengths
    return made


def open_merged(
    model: str | Path, adapter: NamedAdapter | None, *, revision: str | None = None, offline: bool = False
) -> Checkpoint:
    """A checkpoint, with an adapter in its weights where one is named.

    Raises:
        As :meth:`Checkpoint.open` and :meth:`Adapter.open`.
    """
    checkpoint = Checkpoint.open(model, revision=revision, offline=offline)
    if adapter is None:
        return checkpoint
    return with_adapter(checkpoint, Adapter.open(adapter.path, checkpoint.architecture, adapter.name))


def with_adapter(checkpoint: Checkpoint, adapter: Adapter) -> Checkpoint:
    """The model that PEFT computes with an adapter on it.

    An adapter that changes one of two tied matrices, embedding and head, parts them: training saw the other one unchanged. The
    result has both, and says so in its configuration.
    """
    tensors, modules = {**checkpoint.tensors, **adapter.replaced}, dict(adapter.modules)
    architecture, config = checkpoint.architecture, checkpoint.config
    remarks = [f"the adapter {adapter.name} is merged into {len(modules)} matrices"]
    if adapter.replaced:
        remarks[0] += f", and {len(adapter.replaced)} tensors are its own"
    if architecture.tie_word_embeddings:
        if _parts(adapter):
            shared = checkpoint.tensors if adapter.config.saves(EMBEDDING) else tensors
            tensors.setdefault(f"{HEAD}.weight", shared[f"{EMBEDDING}.weight"])
            architecture = cast(Architecture, dataclasses.replace(cast(Any, architecture), tie_word_embeddings=False))
            config = {**config, "tie_word_embeddings": False}
            remarks.append(
                "it changes the embedding or the head of a model that ties the two: they are two matrices from here on"
            )
        else:
            modules.pop(HEAD, None)  # the same as the embedding's
    return dataclasses.replace(
        checkpoint,
        architecture=architecture,
        config=config,
        tensors={name: tensors[name] for name in architecture.tensor_shapes()},
        remarks=(*checkpoint.remarks, *remarks),
        change=Merge(adapter, modules),
    )


def _parts(adapter: Adapter) -> bool:
    """Whether it makes embedding and head differ that were one."""
    if EMBEDDING in adapter.modules or HEAD in adapter.modules:
        return not (adapter.config.tied and EMBEDDING in adapter.modules)
    own = [adapter.replaced.get(f"{name}.weight") if adapter.config.saves(name) else None for name in (EMBEDDING, HEAD)]
    if own[0] is not None and own[1] is not None:
        return likeness(own[0], own[1]) is not Likeness.SAME
    return any(own) and not adapter.config.tied
