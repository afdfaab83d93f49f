"""What says where a token is, as parameters of the graph. None is read from the checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.rope import attention_scaling, inverse_frequencies
from youtu_onnx.graphs.parameter import Parameter


def frequencies(a: Architecture) -> dict[str, Parameter]:
    """For graphs that compute angles: the inverse frequencies of rotations ``[R/2]``."""
    width = a.qk_rope_head_dim // 2
    return {"model.inv_freq": Parameter((), (width,), lambda _: inverse_frequencies(a), "constant")}


def tables(a: Architecture, length: int) -> dict[str, Parameter]:
    """For graphs that don't: cos and sin of the first positions ``[length,R]``, the sines of a pair's first half negative.

    No position is beyond the trained context, so they don't depend on the sequence.
    """

    def table(turn: Callable[[Tensor], Tensor], sign: int) -> Tensor:
        half = turn(torch.outer(torch.arange(length).float(), inverse_frequencies(a))) * attention_scaling(a)
        return torch.cat([half * sign, half], -1)

    shape = (length, a.qk_rope_head_dim)
    return {
        "model.rope_cos": Parameter((), shape, lambda _: table(torch.cos, 1), "vector"),
        "model.rope_sin": Parameter((), shape, lambda _: table(torch.sin, -1), "vector"),
    }


def row_numbers(length: int) -> dict[str, Parameter]:
    """Of the rows of a static cache ``[length]``."""
    return {"model.slots": Parameter((), (length,), lambda _: torch.arange(length).float(), "constant")}
