"""Inputs and outputs of the batch graph: several sequences in one step, each with a cache of its own.

A bundle for the CPU has a second graph over the same weights (``batch.onnx``), for programs that answer several at once. A step
of it takes one token for each of up to K sequences, which are in *slots*, and beside them a *chunk* of one more sequence's
prompt. Linear layers see all tokens at once, attention each sequence alone. So caches are never padded or put together, and a
sequence moves from the chunk into a slot by binding its buffers elsewhere.

Shapes: K slots, D tokens in slots, C tokens of the chunk, T tokens of a sequence with its new ones, whatever is kept of them.

- ``slot_ids``, ``slot_positions`` [1,D], D at least 1, and ``slot_tokens`` [K]: 1 for slots that have a token, in order, else 0;
- ``chunk_ids``, ``chunk_positions`` [1,C], C may be 0, and ``chunk_mask`` [1,T], ones; ``chunk_logits`` [1]: of how many
  last tokens of the chunk logits are wanted;
- the pasts and presents of :meth:`BatchGraph.tensors`. A slot without a token needs a past, too, of at least one row, as does a
  chunk of no tokens; their presents are of no use. A present may be the memory of its past where the layout says that steps
  append in place;
- ``logits`` [1, D + chunk_logits, V], those of the slots first.

All numbers but the cache and the logits are int64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from youtu_onnx.core.cache import UNUSED, CacheLayout, CacheTensor

SLOT_IDS, SLOT_POSITIONS, SLOT_TOKENS = "slot_ids", "slot_positions", "slot_tokens"
CHUNK_IDS, CHUNK_POSITIONS, CHUNK_MASK, CHUNK_LOGITS = "chunk_ids", "chunk_positions", "chunk_mask", "chunk_logits"
INPUTS = (SLOT_IDS, SLOT_POSITIONS, SLOT_TOKENS, CHUNK_IDS, CHUNK_POSITIONS, CHUNK_MASK, CHUNK_LOGITS)
"""All but the pasts."""
SLOTS = 8
"""Of a graph: with more rows than these, a step's products take as long for each on few cores."""


@dataclass(frozen=True)
class BatchGraph:
    """The batch graph of so many slots, for sequences whose cache is laid out as ``cache``."""

    cache: CacheLayout
    slots: int = SLOTS

    def tensors(self, slot: int | None) -> tuple[CacheTensor, ...]:
        """Cache tensors of a slot, from 0, or of the chunk (None), layer by layer."""
        stem = "chunk" if slot is None else f"slots.{slot}"
        return tuple(
            replace(one, past=f"{stem}.{one.past}", present=f"{stem}.{one.present}")
            for one in self.cache.tensors
            if one.role != UNUSED
        )
