"""Operators that ONNX Runtime's optimizer would make of several, written as they end up.

So a graph for its CPU provider is opened as it is, without the optimizer: a tenth less time to the first token.
Like ``integers.py``, these functions only describe a graph.
"""

from __future__ import annotations

from torch import Tensor
from torch.onnx.ops import symbolic

from youtu_onnx.graphs.integers import product_shape


def transposed_product(x: Tensor, right: Tensor, times: float | None = None) -> Tensor:
    """``x @ rightᵀ`` over the last axis of both, without a transposed copy of ``right``; float. The sums ``times`` a number."""
    return symbolic(
        "com.microsoft::FusedMatMul",
        [x, right],
        {"transB": 1} if times is None else {"transB": 1, "alpha": times},
        dtype=x.dtype,
        shape=product_shape(x, right.transpose(-1, -2)),
        version=1,
    )


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x / sqrt(mean(x²) + eps) · weight`` over the last axis."""
    return symbolic(
        "SimplifiedLayerNormalization",
        [x, weight],
        {"axis": -1, "epsilon": eps, "stash_type": 1},
        dtype=x.dtype,
        shape=x.shape,
        version=1,
    )


def silu(x: Tensor) -> Tensor:
    """``x · sigmoid(x)``"""
    return symbolic("com.microsoft::QuickGelu", [x], {"alpha": 1.0}, dtype=x.dtype, shape=x.shape, version=1)
