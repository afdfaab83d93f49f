"""The Batch: several sequences in caches of their own, and one step for all of them.

What :class:`youtu_onnx.runtimes.decoder.Decoder` is for one sequence. Implemented by
:class:`youtu_onnx.runtimes.ort.batch_model.BatchModel` and :class:`youtu_onnx.runtimes.ort.turns.TurnsModel`;
``tests/runtimes/test_batch_contract.py`` holds for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from youtu_onnx.runtimes.adapters import ActiveAdapter, Adapters


class SequenceCache(Protocol):
    """The cache of one sequence. It is used with the Batch that made it, and no other."""

    @property
    def length(self) -> int:
        """Tokens in it."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""

    def bytes_with(self, count: int) -> int:
        """Memory that it takes at most with so many tokens more."""

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` tokens.

        Raises:
            UsageError: some are to go and some to stay, and the Batch isn't ``prefix_shareable``.
        """

    def copy_prefix(self, length: int) -> SequenceCache:
        """A new cache with the first ``length`` tokens of this one.

        Raises:
            UsageError: as :meth:`truncate`.
            ResourceError: no memory.
        """


@runtime_checkable
class StoredCache(SequenceCache, Protocol):
    """A cache whose rows can be kept elsewhere and put back."""

    @property
    def row_dtype(self) -> str:
        """NumPy's name."""

    @property
    def row_widths(self) -> tuple[int, ...]:
        """Of each of its tensors."""

    def stored_rows(self, length: int) -> list[np.ndarray]:
        """Copies of the first rows of each tensor, ``[length, width]``."""

    def restore_rows(self, rows: Sequence[np.ndarray]) -> None:
        """Into an empty cache: what :meth:`stored_rows` of another one gave.

        Raises:
            ResourceError: no memory.
        """


@dataclass(frozen=True)
class Chunk:
    """Tokens to append to a sequence, and whether logits after the last of them are wanted."""

    cache: SequenceCache
    ids: Sequence[int]
    logits: bool


class Batch(Protocol):
    """A bundle opened for several sequences; for use from one thread at a time."""

    @property
    def count(self) -> int:
        """Sequences that a step takes one token of, in slots numbered from 0. Low numbers are the cheapest."""

    @property
    def vocab_size(self) -> int:
        """V, the width of the logits."""

    @property
    def context_length(self) -> int:
        """The most tokens that a sequence may have."""

    @property
    def bytes_per_token(self) -> int:
        """Of a sequence's cache; at most, where rows leave it."""

    @property
    def adapters(self) -> Adapters | None:
        """Those that steps can be computed with; None where the graph takes none."""

    @property
    def prefix_shareable(self) -> bool:
        """Whether the first tokens of a cache are good without the rest. If not, :meth:`SequenceCache.truncate` and
        :meth:`SequenceCache.copy_prefix` can't be asked for fewer tokens than there are, but for none."""

    @property
    def returns_caches(self) -> bool:
        """Whether a step makes new rows of all its sequences' caches: while it runs, those that were there are in memory, too."""

    def new_cache(self) -> SequenceCache:
        """For a new sequence."""

    def cache_bytes(self, tokens: int) -> int:
        """Memory of a cache that grows because it has to hold so many tokens; at most, where rows leave it."""

    def step(
        self,
        tokens: Mapping[int, tuple[SequenceCache, int]],
        chunk: Chunk | None = None,
        *,
        batch_invariant: bool = False,
        adapter: ActiveAdapter | None = None,
    ) -> np.ndarray:
        """Append one token to each sequence that has a slot, and a chunk to one more. No check of ids or lengths.

        Args:
            tokens: cache and token by slot.
            batch_invariant: compute for each sequence, to the last bit, what would be computed for it in other company; else
                products of one row may be summed in another order than those of several, which is faster by some hundredths.
            adapter: that all of the sequences are computed with, in this step as in those before; None: none.

        Returns:
            Logits float32 ``[D, V]`` in the order of the slots, and one row more if the chunk's are wanted.

        Raises:
            UsageError: a cache that another Batch made.
            ResourceError: out of memory.
            BundleError, ProviderError: the graph can't be run. After any of these no sequence has changed, unless the
                implementation takes sequences in turns: lengths say how far it came.
        """

    def close(self) -> None:
        """Free the model; closing twice does no harm."""
