"""The parameters that kv_b_proj becomes: see ``heads.py`` for what reads them.

Shapes: H heads, N qk_nope_head_dim, L kv_lora_rank, V v_head_dim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.heads import ByteHeads
from youtu_onnx.families.youtu.graph.moved import Halves, row_codes, row_scales
from youtu_onnx.graphs.integers import MIDDLE

T = TypeVar("T")


@dataclass(frozen=True)
class IntegerHalves:
    """Both halves rounded once, for all parameters of :class:`ByteHeads`.

    Attributes:
        uk: int8 ``[H,N,L]``, whose rows' scales went into the query.
        uv: int8 ``[H,L,V]``.
        uv_scales: float32 ``[H,V]``.
    """

    uk: Tensor
    uv: Tensor
    uv_scales: Tensor

    @classmethod
    def of(cls, halves: Halves) -> IntegerHalves:
        return cls(row_codes(halves.w_uk), row_codes(halves.w_uv_t).transpose(1, 2), row_scales(halves.w_uv_t))


@dataclass(frozen=True)
class HeadParameter(Generic[T]):
    """``build`` makes it of what all of them are made of together."""

    name: str
    shape: tuple[int, ...]
    kind: str
    build: Callable[[T], Tensor]


def float_heads(a: Architecture) -> tuple[HeadParameter[Halves], ...]:
    heads, nope, value, rank = a.num_attention_heads, a.qk_nope_head_dim, a.v_head_dim, a.kv_lora_rank
    return (
        HeadParameter("w_uk", (heads, nope, rank), "heads", lambda halves: halves.w_uk),
        HeadParameter("w_uv", (heads, rank, value), "heads", lambda halves: halves.w_uv_t.transpose(1, 2)),
    )


def byte_heads(a: Architecture) -> tuple[HeadParameter[IntegerHalves], ...]:
    heads, nope, value, rank, parts = (
        a.num_attention_heads,
        a.qk_nope_head_dim,
        a.v_head_dim,
        a.kv_lora_rank,
        ByteHeads.parts(a),
    )

    def in_parts(codes: IntegerHalves) -> Tensor:
        return codes.uk.view(heads, nope, parts, rank // parts).transpose(1, 2)

    return (
        HeadParameter("w_uk_q8", (heads, parts, nope, rank // parts), "bytes", in_parts),
        HeadParameter("w_uk_offsets", (heads, 1, rank), "vector", lambda codes: _offsets(codes.uk)),
        HeadParameter("w_uv_q8", (heads, rank, value), "bytes", lambda codes: codes.uv),
        HeadParameter("w_uv_offsets", (heads, 1, value), "vector", lambda codes: _offsets(codes.uv)),
        HeadParameter("w_uv_scales", (heads, 1, value), "vector", lambda codes: codes.uv_scales.unsqueeze(1)),
    )


def expanded(halves: Halves) -> Tensor:
    """kv_b_proj ``[H·(N+V),L]`` with every head's key rows before every head's value rows."""
    return torch.cat([half.reshape(-1, half.shape[-1]) for half in (halves.w_uk, halves.w_uv_t)])


def _offsets(codes: Tensor) -> Tensor:
    """``[H,K,N]`` → ``[H,1,N]``: what the code of zero adds to a product over K."""
    return MIDDLE * codes.float().sum(1, keepdim=True)
