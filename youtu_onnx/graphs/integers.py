"""Products of integers, spelled in ONNX Runtime's operators so that a trace contains them as they are.

A row of floats becomes unsigned bytes around 128 with a scale of its own, chosen when it runs::

    scale = max(|x|) / 127        codes = uint8(x / scale + 128.5)      x ≈ scale · (codes - 128)

The left operand of a product is unsigned, because ONNX Runtime's CPU kernels have no fast path for two signed ones. A
scale for each row, and not for the whole tensor, keeps a row's result independent of the rows beside it: a batch gives
the same logits as its prompts alone, and a prompt in one piece the same as in chunks.

These functions only describe a graph: run by torch itself, they give tensors of the right shape and no numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.onnx.ops import symbolic

MIDDLE = 128
"""The code of zero."""
SMALLEST = 1e-30
"""Keeps a row of zeros from dividing by zero."""


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """``[…,K]`` → codes uint8 ``[…,K]`` and scales float ``[…,1]``."""
    scale = row_scale(x)
    # Positive before the cast, which drops the fraction: adding a half more than 128 rounds.
    return (x / scale + (MIDDLE + 0.5)).to(torch.uint8), scale


def quantize_signed(x: Tensor) -> tuple[Tensor, Tensor]:
    """``[…,K]`` → int8 ``[…,K]`` within ±127 and scales float ``[…,1]``: the right operand of a product."""
    scale = row_scale(x)
    return torch.round(x / scale).to(torch.int8), scale


def row_scale(x: Tensor) -> Tensor:
    return torch.clamp(x.abs().amax(-1, keepdim=True) * (1 / 127), min=SMALLEST)


def product(codes: Tensor, right: Tensor, scales: Tensor | None = None) -> Tensor:
    """``(codes - 128) @ right · scales`` in float32; codes uint8 ``[…,M,K]``, right int8 ``[…,K,N]``.

    Args:
        scales: one for each column, ``[…,1,N]``; None for ones.
    """
    one = torch.full((), 1.0)
    return symbolic(
        "com.microsoft::MatMulIntegerToFloat",
        [codes, right, one, one if scales is None else scales, torch.full((), MIDDLE, dtype=torch.uint8)],
        dtype=torch.float32,
        shape=product_shape(codes, right),
        version=1,
    )


def integer_product(codes: Tensor, right: Tensor) -> Tensor:
    """``(codes - 128) @ right`` in int32, as :func:`product`; for many rows and few columns the faster of the two."""
    return symbolic(
        "MatMulInteger",
        [codes, right, torch.full((), MIDDLE, dtype=torch.uint8)],
        dtype=torch.int32,
        shape=product_shape(codes, right),
        version=10,
    )


def raw_sums(codes: Tensor, right: Tensor) -> Tensor:
    """``codes @ right`` in int32, with no zero point."""
    return symbolic("MatMulInteger", [codes, right], dtype=torch.int32, shape=product_shape(codes, right), version=10)


def sums(weights: Tensor, codes: Tensor) -> Tensor:
    """``weights @ (codes - 128)`` in int32; weights uint8 ``[…,M,K]``, codes uint8 ``[…,K,N]``."""
    zeros = torch.zeros((), dtype=torch.uint8), torch.full((), MIDDLE, dtype=torch.uint8)
    return symbolic("MatMulInteger", [weights, codes, *zeros], dtype=torch.int32, shape=product_shape(weights, codes), version=10)


def product_shape(left: Tensor, right: Tensor) -> tuple[int, ...]:
    """``[…,M,K]``, ``[…,K,N]`` → the shape of their product."""
    batch: torch.Size = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])  # type: ignore[no-untyped-call]
    return (*batch, left.shape[-2], right.shape[-1])
