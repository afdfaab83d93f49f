"""W_UK and W_UV, the halves of ``kv_b_proj``: from queries to the latent, and from the latent to values.

Shapes: B batch, S new tokens, T all tokens, H heads, N qk_nope_head_dim, L kv_lora_rank, V v_head_dim.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.graphs import fused, integers


class FloatHeads(nn.Module):
    """W_UK and W_UV as floats."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.w_uk = nn.Parameter(torch.empty(a.num_attention_heads, a.qk_nope_head_dim, a.kv_lora_rank))
        self.w_uv = nn.Parameter(torch.empty(a.num_attention_heads, a.kv_lora_rank, a.v_head_dim))

    def absorb(self, q_nope: Tensor) -> Tensor:
        """``[B,H,S,N]`` → ``[B,H,S,L]``"""
        return torch.matmul(q_nope, self.w_uk)

    def values(self, latent: Tensor) -> Tensor:
        """``[B,H|1,S,L]`` → ``[B,H,S,V]``"""
        return torch.matmul(latent, self.w_uv)

    def expand(self, c_kv: Tensor) -> tuple[Tensor, Tensor]:
        """``[B,1,T,L]`` → keys ``[B,H,T,N]`` and values ``[B,H,T,V]``."""
        return fused.transposed_product(c_kv, self.w_uk), self.values(c_kv)


class ByteHeads(nn.Module):
    """W_UK and W_UV as int8: a quarter of the float32 bytes that every token would read.

    W_UK has a scale for each row, which ``moved.py`` moves into the query's projection, and W_UV one for each column.
    An integer product takes its right operand in one order only: long steps, which want W_UK in the other, turn it around. For
    512 tokens that is a thousandth of their time, and it was a tenth of a bit of each weight to store both.

    The products of a decode step run without a zero point, and its share is taken off behind (``…_offsets``): only then has
    ONNX Runtime a kernel for a single row, and that is at its best up to ``COLUMNS``. So W_UK's columns are in parts.
    """

    COLUMNS = 128

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a, heads = architecture, architecture.num_attention_heads

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape, dtype=torch.int8), requires_grad=False)

        parts = self.parts(a)
        self.w_uk_q8 = empty(heads, parts, a.qk_nope_head_dim, a.kv_lora_rank // parts)
        self.w_uk_offsets = nn.Parameter(torch.empty(heads, 1, a.kv_lora_rank))
        self.w_uv_q8 = empty(heads, a.kv_lora_rank, a.v_head_dim)
        self.w_uv_offsets = nn.Parameter(torch.empty(heads, 1, a.v_head_dim))
        self.w_uv_scales = nn.Parameter(torch.empty(heads, 1, a.v_head_dim))

    @classmethod
    def parts(cls, architecture: Architecture) -> int:
        """Into how many parts W_UK's columns are cut."""
        return architecture.kv_lora_rank // math.gcd(architecture.kv_lora_rank, cls.COLUMNS)

    def absorb(self, q_nope: Tensor) -> Tensor:
        codes, scale = integers.quantize_rows(q_nope)
        batch, heads, new, _ = q_nope.shape
        sums = integers.raw_sums(codes.unsqueeze(2), self.w_uk_q8)  # [B,H,parts,S,L/parts]
        sums = sums.transpose(2, 3).reshape(batch, heads, new, -1).to(torch.float32)
        return (sums - self.w_uk_offsets) * scale

    def values(self, latent: Tensor) -> Tensor:
        codes, scale = integers.quantize_rows(latent)
        sums = integers.raw_sums(codes, self.w_uv_q8).to(torch.float32)
        return (sums - self.w_uv_offsets) * self.w_uv_scales * scale

    def expand(self, c_kv: Tensor) -> tuple[Tensor, Tensor]:
        return self.expand_codes(*integers.quantize_rows(c_kv))

    def expand_codes(self, codes: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Codes uint8 ``[B,1,T,L]`` of scales ``[B,1,T,1]`` → keys ``[B,H,T,N]`` and values ``[B,H,T,V]``."""
        heads, rank, nope = self.w_uk_q8.shape[0], codes.shape[-1], self.w_uk_q8.shape[2]
        keys = integers.product(codes, self.w_uk_q8.transpose(2, 3).reshape(heads, rank, nope)) * scale
        return keys, integers.product(codes, self.w_uv_q8, self.w_uv_scales) * scale


Heads = FloatHeads | ByteHeads
