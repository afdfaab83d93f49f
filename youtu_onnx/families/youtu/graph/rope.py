"""Inverse frequencies of rotary position embedding, in the order of operations of transformers.

Formulas: RoPE (arXiv 2104.09864), linear interpolation (2306.15595), dynamic NTK, YaRN (2309.00071), LongRoPE (2402.13753), and
that of Llama 3.1, which divides frequencies by their wavelength (2407.21783).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.rope import Rope


def inverse_frequencies(architecture: Architecture) -> Tensor:
    """float32 ``[qk_rope_head_dim / 2]``; for dynamic NTK and LongRoPE those of a sequence within the trained context."""
    rope, dim = architecture.rope, architecture.qk_rope_head_dim
    powers = rope.rope_theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    if rope.rope_type == "linear":
        return 1.0 / powers / rope.factor
    if rope.rope_type == "yarn":
        low, high = _yarn_range(architecture)
        interpolated = torch.clamp((torch.arange(dim // 2, dtype=torch.float32) - low) / (high - low), 0, 1)
        return interpolated / (rope.factor * powers) + (1 - interpolated) / powers
    if rope.rope_type == "llama3":
        return _llama3(1.0 / powers, rope)
    if rope.rope_type == "longrope":
        return 1.0 / (torch.tensor(rope.short_factor, dtype=torch.float32) * powers)
    return 1.0 / powers


def attention_scaling(architecture: Architecture) -> float:
    """Factor on cos and sin: the temperature of YaRN and LongRoPE; 1 for every other type."""
    rope = architecture.rope
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.rope_type == "longrope":
        assert rope.original_max_position_embeddings is not None
        return 1.0 if rope.factor <= 1 else math.sqrt(1 + math.log(rope.factor) / math.log(rope.original_max_position_embeddings))
    if rope.rope_type != "yarn":
        return 1.0
    if rope.mscale and rope.mscale_all_dim:
        return _mscale(rope.factor, rope.mscale) / _mscale(rope.factor, rope.mscale_all_dim)
    return _mscale(rope.factor, 1.0)


def in_the_graph(architecture: Architecture) -> bool:
    """Whether a graph that computes angles has more of a model's rotations in it than their frequencies, which are weights."""
    return architecture.rope.rope_type == "dynamic" or attention_scaling(architecture) != 1


def _mscale(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def _yarn_range(architecture: Architecture) -> tuple[float, float]:
    """Dimensions between which YaRN passes from extrapolated to interpolated frequencies."""
    rope, dim = architecture.rope, architecture.qk_rope_head_dim
    context = rope.original_max_position_embeddings or architecture.max_position_embeddings

    def dimension(rotations: float) -> float:
        return dim * math.log(context / (rotations * 2 * math.pi)) / (2 * math.log(rope.rope_theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    return low, high + 0.001 if low == high else high


def _llama3(frequencies: Tensor, rope: Rope) -> Tensor:
    """Those of long waves are divided by the factor, those of short waves stay, and between the two it goes over."""
    trained, low, high = rope.original_max_position_embeddings, rope.low_freq_factor, rope.high_freq_factor
    assert trained is not None and low is not None and high is not None
    waves = 2 * math.pi / frequencies
    divided = torch.where(waves > trained / low, frequencies / rope.factor, frequencies)
    smooth = (trained / waves - low) / (high - low)
    between = (waves >= trained / high) & (waves <= trained / low)
    return torch.where(between, (1 - smooth) * divided / rope.factor + smooth * divided, divided)
