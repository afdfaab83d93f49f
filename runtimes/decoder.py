"""The Decoder: one sequence of tokens in a cache, and the logits that follow it.

Shapes: S new tokens, V vocabulary. Every adapter passes ``tests/runtimes/test_decoder_contract.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from youtu_onnx.core.errors import UsageError

PREFILL_CHUNK = 512
"""Tokens per step of a prefill: its activations, not the prompt's length, bound the memory of a step."""


class Decoder(Protocol):
    """A bundle opened on a provider, holding one sequence.

    A call that raises leaves the sequence as it was, but for a prefill that was interrupted between its steps:
    ``length`` says how much of it is in the cache.
    """

    @property
    def vocab_size(self) -> int:
        """V, the width of the logits."""

    @property
    def context_length(self) -> int:
        """The most tokens that a sequence may have."""

    @property
    def length(self) -> int:
        """Tokens in the cache."""

    @property
    def rows(self) -> tuple[int, ...] | None:
        """Rows that each layer keeps of these tokens; None where that is one for each."""

    @property
    def rewindable(self) -> bool:
        """Whether some of the tokens can be dropped. If not, :meth:`rewind` drops none or all."""

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        """Append tokens; logits ``[V]`` float32 after the last of them.

        Raises:
            UsageError: no ids, ids outside the vocabulary, or more than the context has room for.
        """

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        """Append tokens; logits ``[S, V]`` float32, one row after each. Raises as :meth:`prefill` does."""

    def rewind(self, count: int) -> None:
        """Drop the last ``count`` tokens.

        Raises:
            UsageError: fewer than ``count`` tokens are there, or ``count`` is negative, or the cache can't drop some of them.
        """

    def reset(self) -> None:
        """Drop all tokens."""

    def close(self) -> None:
        """Free the model. The decoder can't be used afterwards; closing twice does no harm."""


def check_ids(ids: Sequence[int], *, length: int, context_length: int, vocab_size: int) -> list[int]:
    """The ids as Python ints, once they are known to fit.

    Ids outside the vocabulary are refused here because not every provider's Gather does it.
    """
    checked = [int(one) for one in ids]
    if not checked:
        raise UsageError("no tokens to run", hint="pass at least one token id")
    if len(checked) + length > context_length:
        behind = f" after the {length} in the cache" if length else ""
        raise UsageError(
            f"{len(checked)} tokens{behind} are more than the context of {context_length}",
            hint="shorten the prompt, or start a new conversation",
        )
    wrong = next((one for one in checked if not 0 <= one < vocab_size), None)
    if wrong is not None:
        raise UsageError(
            f"token id {wrong} is outside the vocabulary of {vocab_size}", hint="tokenize with the bundle's own tokenizer"
        )
    return checked


def check_rewind(count: int, length: int) -> None:
    if not 0 <= count <= length:
        raise UsageError(f"can't rewind {count} tokens: the cache holds {length}", hint=f"pass a number from 0 to {length}")


def steps(ids: Sequence[int], size: int = PREFILL_CHUNK) -> Iterator[Sequence[int]]:
    """Cut ids into runs of at most ``size``."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
