"""What compressed-tensors' ``quantization_config`` says of matrices that are all packed alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scheme:
    """How matrices are packed: 4 bits, in groups of so many numbers of a row."""

    group_size: int
    symmetric: bool


def quantization_config(scheme: Scheme, floats: Sequence[str]) -> dict[str, Any]:
    """With zero points, transformers is told to dequantize while it loads. What it does else, making room for packed tensors,
    fails with compressed-tensors 0.18 to 0.20: the room for zero points is as if they weren't packed. Others don't read it.

    Args:
        floats: names of linear layers that aren't packed.
    """
    weights = {
        "num_bits": 4,
        "type": "int",
        "symmetric": scheme.symmetric,
        "strategy": "group",
        "group_size": scheme.group_size,
        "dynamic": False,
    }
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": list(floats),
        "kv_cache_scheme": None,
    } | ({} if scheme.symmetric else {"dequantize": True})
