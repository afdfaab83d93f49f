"""Prompts of different lengths as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from youtu_onnx.core.errors import UsageError


def left_pad(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts of different lengths as ``input_ids``, ``attention_mask`` and ``position_ids``, int64 ``[B, S]`` each.

    Padding stands on the left, is masked, and has position 0; a prompt's own positions start at 0.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise UsageError("a batch needs prompts, and every prompt a token", hint="drop the empty ones")
    width = max(map(len, prompts))
    ids = np.full((len(prompts), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return ids, mask, np.clip(np.cumsum(mask, axis=1) - 1, 0, None)
