"""Sequences' caches at the places that a batch graph has for them: its slots, and its chunk.

A step adds rows to caches in place where their layout allows that, and else returns what the next one takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import onnxruntime as ort

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import SequenceCache

Lane = int | None
"""A slot's number, or None: the chunk."""
C = TypeVar("C")


@dataclass(frozen=True)
class LaneStep:
    """What a run of the graph takes.

    Attributes:
        feeds: all inputs but pasts and those of adapters.
        caches: of lanes that have a sequence.
        counts: tokens computed in every lane; those of lanes without a sequence are nobody's.
        kept: how many of them are the sequence's own, by lane.
        logits: shape of the output.
    """

    feeds: Mapping[str, np.ndarray]
    caches: Mapping[Lane, SequenceCache]
    counts: Mapping[Lane, int]
    kept: Mapping[Lane, int]
    logits: tuple[int, int, int]


class Lanes(Protocol):
    """Where a step's sequences are.

    Attributes:
        returns_caches: as :attr:`youtu_onnx.runtimes.batch.Batch.returns_caches`.
        takes_more: whether a chunk may be computed with tokens behind its own, and only its own be kept.
    """

    returns_caches: bool
    takes_more: bool

    def new_cache(self) -> SequenceCache: ...

    def cache_bytes(self, tokens: int) -> int: ...

    def run(self, session: ort.InferenceSession, step: LaneStep, adapter: ActiveAdapter | None) -> np.ndarray:
        """Run a step, after which the caches have its tokens; its logits.

        Raises:
            UsageError: a cache of another kind.
            ResourceError: no memory.
            Exception: what ONNX Runtime raises. After any of these no cache has changed.
        """

    def close(self) -> None:
        """Hold nothing of a session or of a step any more."""


def own(cache: SequenceCache, kind: type[C]) -> C:
    """
    Raises:
        UsageError: it is none that this batch made.
    """
    if not isinstance(cache, kind):
        raise UsageError(f"{type(cache).__name__} is no cache of this batch", hint="take one from new_cache()")
    return cache
