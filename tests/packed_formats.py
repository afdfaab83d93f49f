"""Files of quantized weights, written number by number from the formats' definitions. Tests hold them against what the formats'
own libraries write, where those are installed.

A :class:`Matrix` is what all formats say in their own ways: ``weight = (code - zero) · scale``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.tiny_checkpoint import CONFIG as TINY
from tests.tiny_checkpoint import random_tensors, write_checkpoint

LINEAR = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Matrix:
    """``codes`` uint8 [N,K]; ``scales`` float16 and ``zeros`` uint8 [N,G]; ``groups`` int32 [K]."""

    codes: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor
    groups: torch.Tensor
    bits: int = 4

    @property
    def floats(self) -> torch.Tensor:
        index = self.groups.long()
        return (self.codes.float() - self.zeros.float()[:, index]) * self.scales.float()[:, index]


def rounded(
    weight: torch.Tensor, size: int, *, symmetric: bool = False, bits: int = 4, order: torch.Tensor | None = None
) -> Matrix:
    """A float matrix in groups of ``size`` columns, -1 for whole rows; ``order``: of the columns, before they are grouped."""
    rows, columns = weight.shape
    size = columns if size == -1 else size
    groups = torch.arange(columns) // size
    if order is not None:
        groups = groups[torch.argsort(order)]
    top, count = 2**bits - 1, -(-columns // size)
    scales, zeros = torch.empty(rows, count), torch.empty(rows, count)
    for group in range(count):
        part = weight.float()[:, groups == group]
        low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        if symmetric:
            high = torch.maximum(high, -low)
            low = -high
        scales[:, group] = ((high - low) / top).clamp(min=1e-6)
        zeros[:, group] = (top + 1) / 2 if symmetric else torch.round(-low / scales[:, group]).clamp(1, top)
    scales = scales.half()
    codes = torch.round(weight.float() / scales.float()[:, groups] + zeros[:, groups]).clamp(0, top)
    return Matrix(codes.to(torch.uint8), scales, zeros.to(torch.uint8), groups.int(), bits)


def words(numbers: Iterable[int], bits: int) -> list[int]:
    """Numbers in signed words of 32 bits, the first in the lowest bits."""
    found = list(numbers)
    found += [0] * (-len(found) % (32 // bits))
    packed = []
    for start in range(0, len(found), 32 // bits):
        word = sum(number << (bits * place) for place, number in enumerate(found[start : start + 32 // bits]))
        packed.append(word - 2**32 if word >= 2**31 else word)
    return packed


def by_rows(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """``[R,C]`` → int32 ``[R, C·bits/32]``."""
    return torch.tensor([words(row, bits) for row in numbers.tolist()], dtype=torch.int32)


def gptq(stem: str, one: Matrix, *, version: int = 1, g_idx: bool = True) -> Tensors:
    zeros = (one.zeros.int() - int(version == 1)) % 2**one.bits  # no zero point of these tests is 0
    made = {
        f"{stem}.qweight": by_rows(one.codes, one.bits).T.contiguous(),
        f"{stem}.qzeros": by_rows(zeros.T, one.bits),
        f"{stem}.scales": one.scales.T.contiguous(),
    }
    return made | ({f"{stem}.g_idx": one.groups.clone()} if g_idx else {})


def awq(stem: str, one: Matrix) -> Tensors:
    def interleaved(numbers: torch.Tensor) -> torch.Tensor:
        return numbers.view(len(numbers), -1, 8)[:, :, list(AWQ_ORDER)].flatten(1)

    return {
        f"{stem}.qweight": by_rows(interleaved(one.codes.T.contiguous()), 4),
        f"{stem}.qzeros": by_rows(interleaved(one.zeros.T.contiguous()), 4),
        f"{stem}.scales": one.scales.T.contiguous(),
    }


def pack_quantized(stem: str, one: Matrix, *, symmetric: bool = False) -> Tensors:
    made = {
        f"{stem}.weight_packed": by_rows(one.codes, one.bits),
        f"{stem}.weight_scale": one.scales.clone(),
        f"{stem}.weight_shape": torch.tensor(one.codes.shape),
    }
    if not symmetric:
        made[f"{stem}.weight_zero_point"] = by_rows(one.zeros.T, one.bits).T.contiguous()
    return made


def scheme(*, bits: int = 4, size: int = 128, symmetric: bool = False) -> dict[str, Any]:
    """compressed-tensors' ``quantization_config`` for all linear layers but the head."""
    weights = {
        "num_bits": bits,
        "type": "int",
        "symmetric": symmetric,
        "strategy": "channel" if size == -1 else "group",
        "group_size": None if size == -1 else size,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
        "ignore": ["lm_head"],
    }


CONFIG = TINY | {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 16,
}
"""Sizes that all formats can pack: multiples of 32, but for the rows of kv_a_proj_with_mqa, 48."""


@dataclass(frozen=True)
class Made:
    """A checkpoint with packed matrices, by the module's name; ``floats`` is what all of its weights mean."""

    folder: Path
    matrices: dict[str, Matrix]
    floats: Tensors


def packed_checkpoint(
    folder: Path,
    said: dict[str, Any],
    matrix: Callable[[str, torch.Tensor], Matrix],
    write: Callable[[str, Matrix], Tensors],
    *,
    config: dict[str, Any] | None = None,
    tensors: Tensors | None = None,
    but: tuple[str, ...] = (),
) -> Made:
    """
    Args:
        said: ``quantization_config``.
        matrix: how a module's weight is rounded.
        write: the format.
        config, tensors: of the model; random weights of :data:`CONFIG` unless said.
        but: parts of names of modules that stay floats.
    """
    config = CONFIG if config is None else config
    made: Tensors = {}
    matrices: dict[str, Matrix] = {}
    floats: Tensors = {}
    for name, tensor in (random_tensors(config) if tensors is None else tensors).items():
        stem = name.removesuffix(".weight")
        if stem.rpartition(".")[2] in LINEAR and not any(part in name for part in but):
            matrices[stem] = matrix(stem, tensor)
            made |= write(stem, matrices[stem])
            floats[name] = matrices[stem].floats
        else:
            made[name] = tensor
            floats[name] = tensor.float()
    write_checkpoint(folder, config | {"quantization_config": said}, made)
    return Made(folder, matrices, floats)
