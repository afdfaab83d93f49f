"""torch tensors of a step as the arrays that a graph takes, checked.

Shapes: B batch, S new tokens, P past tokens, T = P + S.
"""

from __future__ import annotations

import numpy as np
import torch

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.errors import UsageError


def arrays(
    input_ids: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    position_ids: torch.Tensor | None,
    past: int,
    manifest: Manifest,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids ``[B, S]``, mask ``[B, T]`` and positions ``[B, S]``, int64; on the CPU without a copy where they are so already.

    Args:
        input_ids: ``[B, S]``.
        attention_mask: ``[B, T]``, zero where a token is padding; None: nothing is.
        position_ids: ``[B, S]`` or ``[1, S]``; None counts the mask's ones.
        past: P.

    Raises:
        UsageError: shapes that don't fit, ids outside the vocabulary, or more tokens than the context has room for.
    """
    ids = _ids(input_ids, past, manifest)
    batch, new = ids.shape
    total = past + new
    if attention_mask is None:
        mask = np.ones((batch, total), np.int64)
    elif tuple(attention_mask.shape) != (batch, total):
        raise UsageError(
            f"attention_mask is {list(attention_mask.shape)}; expected [{batch}, {total}], the {past} tokens in the "
            f"cache and the {new} new ones"
        )
    else:
        mask = (attention_mask != 0).cpu().numpy().astype(np.int64)
    if position_ids is None:
        return ids, mask, np.clip(mask.cumsum(1) - 1, 0, None)[:, past:]
    if tuple(position_ids.shape) not in ((batch, new), (1, new)):
        raise UsageError(f"position_ids is {list(position_ids.shape)}; expected [{batch}, {new}]")
    return ids, mask, np.broadcast_to(position_ids.cpu().numpy().astype(np.int64, copy=False), ids.shape)


def _ids(input_ids: torch.Tensor | None, past: int, manifest: Manifest) -> np.ndarray:
    if input_ids is None or input_ids.ndim != 2 or 0 in input_ids.shape or input_ids.is_floating_point():
        found = None if input_ids is None else f"{input_ids.dtype} {list(input_ids.shape)}"
        raise UsageError(f"input_ids is {found}; expected whole numbers [batch, tokens], at least one of each")
    ids = input_ids.cpu().numpy().astype(np.int64, copy=False)
    reserved, vocab_size = manifest.cache.length, manifest.model.vocab_size
    if past + ids.shape[1] > manifest.context_length:
        context = f"the context of {manifest.context_length}{manifest.model.bound}"
        room = context if reserved is None else f"the {reserved} that this bundle reserves"
        raise UsageError(
            f"{ids.shape[1]} tokens after the {past} in the cache are more than {room}",
            hint="shorten the prompt, or ask for fewer new tokens"
            + ("" if reserved is None else ", or export with a larger --max-length"),
        )
    # Not every provider's Gather refuses them.
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise UsageError(
            f"token ids reach from {ids.min()} to {ids.max()}; the vocabulary has {vocab_size}",
            hint="tokenize with the bundle's own tokenizer",
        )
    return ids
