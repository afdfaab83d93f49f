"""Int4 as the exporter will do it, simulated in float."""

from __future__ import annotations

import torch


def round_to_int4(weight: torch.Tensor, block: int = 32) -> torch.Tensor:
    """Symmetric round-to-nearest int4 over blocks of the inner dimension, back in float.

    The commonest post-training rounding: the element of largest magnitude becomes -8, so the scale
    may be negative and all sixteen levels are used.
    """
    blocks = weight.reshape(-1, block)
    peak = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scale = torch.where(peak == 0, torch.ones_like(peak), peak / -8)
    return ((blocks / scale).round().clamp(-8, 7) * scale).reshape(weight.shape)
