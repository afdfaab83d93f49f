"""Int4 as an export stores it by default, in the weights of a model that is trained or measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from youtu_onnx.core.recipe import Recipe
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest

from .trainer import GATE


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """What an export packs: all matrices and the embedding, which is the head too. Gates and norms stay floats."""
    return [p for name, p in model.named_parameters() if p.ndim == 2 and GATE not in name]


@torch.no_grad()
def nearest(weight: Tensor, hidden_size: int, fitted: bool) -> Tensor:
    """[N, K] in the 16 levels of its blocks. `fitted` looks for each block's best range, as an export does; without, the
    range is from its smallest number to its largest, which takes a tenth of the time."""
    storage = Recipe().for_width(hidden_size).storage((), weight.shape[1])
    assert storage is not None
    rows = RoundToNearest(fitted=fitted).begin(weight.detach(), storage, torch.float32, None)(0, len(weight))
    return rows.dequantize()[:, : weight.shape[1]].to(weight.dtype)


@torch.no_grad()
def round_(model: nn.Module, hidden_size: int) -> None:
    """Rounds a model for good, as an export would."""
    for weight in matrices(model):
        weight.copy_(nearest(weight, hidden_size, fitted=True))


@contextmanager
def rounded(model: nn.Module, hidden_size: int, wanted: bool) -> Iterator[None]:
    """Inside, the model computes with rounded weights; the exact ones come back after, so gradients found inside move them."""
    if not wanted:
        yield
        return
    weights = matrices(model)
    exact = [w.detach().clone() for w in weights]
    with torch.no_grad():
        for w in weights:
            w.copy_(nearest(w, hidden_size, fitted=False))
    try:
        yield
    finally:
        with torch.no_grad():
            for w, value in zip(weights, exact, strict=True):
                w.copy_(value)
