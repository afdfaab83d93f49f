"""What says where a token is, as parameters of the graph. None is read from the checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.graphs.parameter import Parameter


def inverse_frequencies(a: Architecture) -> Tensor:
    """float32 ``[head_dim / 2]`` (RoPE, arXiv 2104.09864), in transformers' order of operations."""
    powers: Tensor = a.rope_theta ** (torch.arange(0, a.head_dim, 2, dtype=torch.float32) / a.head_dim)
    return 1.0 / powers


def frequencies(a: Architecture) -> dict[str, Parameter]:
    """For graphs that compute angles: the inverse frequencies of rotations ``[D/2]``."""
    return {"model.inv_freq": Parameter((), (a.head_dim // 2,), lambda _: inverse_frequencies(a), "constant")}


def tables(a: Architecture, length: int) -> dict[str, Parameter]:
    """For graphs that don't: cos and sin of the first positions ``[length,D]``, the sines of a pair's first half negative."""

    def table(turn: Callable[[Tensor], Tensor], sign: int) -> Tensor:
        half = turn(torch.outer(torch.arange(length).float(), inverse_frequencies(a)))
        return torch.cat([half * sign, half], -1)

    shape = (length, a.head_dim)
    return {
        "model.rope_cos": Parameter((), shape, lambda _: table(torch.cos, 1), "vector"),
        "model.rope_sin": Parameter((), shape, lambda _: table(torch.sin, -1), "vector"),
    }


def row_numbers(length: int) -> dict[str, Parameter]:
    """Of the rows of a static cache ``[length]``."""
    return {"model.slots": Parameter((), (length,), lambda _: torch.arange(length).float(), "constant")}
