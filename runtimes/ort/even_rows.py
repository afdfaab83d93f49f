"""Steps whose products have an even number of rows, so that company doesn't show in what they compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Rows of a step's chunk.

    Attributes:
        chunk: tokens that are computed: the chunk's own, and behind them one that nobody wants.
        wanted: 1 if logits after the chunk's last own token are wanted, else 0.
        of_head: of how many last tokens logits are computed.
        last: where that row is among all logits, from the end.
    """

    chunk: int
    wanted: int
    of_head: int
    last: int = -1


def in_pairs(counts: np.ndarray, chunk: int, wanted: int, *, more: bool) -> Rows | None:
    """Have every product compute an even number of rows, whatever the company, with tokens that nobody wants: of idle slots, and
    one behind the chunk's last.

    ONNX Runtime's kernels for int4 and int8 take rows in pairs, and one that is left over by a kernel that sums a block's
    products in another order; a float product of one row is summed otherwise than one of several. In pairs, a row comes out the
    same whatever the other rows are: tests/runtimes/test_batch_invariance.py compares it bit by bit.

    With tokens in 3 of 8 slots and a chunk of 65, logits wanted, there are 4 and 66 rows, and logits of the last 2 of the chunk,
    of which the first are those wanted. Where a chunk has none but its own tokens, there are 3 and 65 rows.

    Args:
        counts: tokens by slot, of at least one; changed.
        chunk: tokens of the chunk.
        more: whether one may come behind them.

    Returns:
        None where it takes one more, and all slots are in use.
    """
    if not more:
        return _with_slots(counts, chunk, wanted)
    for slot in np.flatnonzero(counts == 0):
        if counts.sum() % 2 == 0:
            break
        counts[slot] = 1
    in_slots = int(counts.sum())
    computed = chunk + (in_slots + chunk) % 2
    behind = wanted * (computed - chunk)
    of_head = wanted + behind
    return Rows(computed, wanted, of_head + (in_slots + of_head) % 2, -1 - behind)


def _with_slots(counts: np.ndarray, chunk: int, wanted: int) -> Rows | None:
    """In pairs by tokens of idle slots alone: as many are in slots as make all even, and of as many are logits."""
    if (counts.sum() + chunk) % 2:
        idle = np.flatnonzero(counts == 0)
        if not len(idle):
            return None
        counts[idle[0]] = 1
    return Rows(chunk, wanted, wanted + (chunk + wanted) % 2)
