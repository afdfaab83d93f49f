"""What a bundle keeps of its checkpoint's language: how well it predicts text, and how far its predictions are from PyTorch's.

Positions are compared a few at a time, and the checkpoint's layers are read one after the other: no more than one layer, some
rows of logits and the bundle are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.core.softmax import log_softmax
from youtu_onnx.evaluate.distance import Distance, Distances
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Floats, Weights
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.stored import StoredGraph
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.verify.comparing import refuse_another_shape

BUILT_IN = Path(__file__).parent.parent / "models" / "held_out.txt"
"""Prose in English and Chinese, a program and some mathematics, written for this and in no other place."""
ROWS = 64
"""Positions whose logits are in memory at once. From as many new tokens on, a CPU graph works as on prompts."""


@dataclass(frozen=True)
class Language:
    """
    Attributes:
        predicted: tokens; all but the first of each passage.
        perplexity: e to the mean negative log-likelihood of these tokens.
        float_perplexity, whole: the checkpoint's, and the bundle's distance from it; None without a checkpoint.
        weights: the distance of PyTorch with the bundle's stored weights: what remains is the graph's own rounding, of
            activations and of cached rows. None without a checkpoint, and of float bundles.
    """

    predicted: int
    perplexity: float
    float_perplexity: float | None = None
    whole: Distance | None = None
    weights: Distance | None = None

    def to_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "predicted": self.predicted,
            "perplexity": self.perplexity,
            "float_perplexity": self.float_perplexity,
        }
        for prefix, one in (("", self.whole), ("weights_", self.weights)):
            if one is not None:
                made |= {f"{prefix}{name}": value for name, value in one.to_dict().items()}
        return made


def measure(
    bundle: Bundle,
    decoder: Decoder,
    passages: Sequence[Sequence[int]],
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> Language:
    """
    Args:
        decoder: of the bundle; its sequence is lost.
        passages: token ids, at least two each.

    Raises:
        UsageError: a passage is longer than the context.
        VerificationError: the checkpoint is of another shape than the bundle's.
        The decoder's errors, and :meth:`youtu_onnx.families.reference.Reference.logits_in_pieces`'s.
    """
    progress = progress or Silent()
    if (longest := max(map(len, passages))) > decoder.context_length:
        raise UsageError(
            f"passages of {longest} tokens are longer than the context of {decoder.context_length}", hint="make --window smaller"
        )
    total = sum(map(len, passages))
    own, float_, whole, by_weights = _Likelihood(), _Likelihood(), Distances(), Distances()
    pieces: Iterator[tuple[Floats, Floats | None, Floats | None]]
    if checkpoint is None:
        progress.begin("read the text", total, unit="tokens")
        pieces = ((found, None, None) for found in _of_bundle(decoder, passages))
    else:
        refuse_another_shape(bundle, checkpoint)
        pieces = _beside_pytorch(bundle, decoder, passages, checkpoint, progress)
    for following, (found, wanted, stored) in zip(_following(passages), pieces, strict=True):
        own.add(found, following)
        if wanted is not None:
            float_.add(wanted, following)
            whole.add(wanted, found)
            if stored is not None:
                by_weights.add(wanted, stored)
        progress.advance(len(found))
    progress.finish()
    return Language(own.count, own.perplexity, float_.perplexity if float_.count else None, whole.summary(), by_weights.summary())


def _beside_pytorch(
    bundle: Bundle, decoder: Decoder, passages: Sequence[Sequence[int]], checkpoint: Checkpoint, progress: Progress
) -> Iterator[tuple[Floats, Floats, Floats | None]]:
    """Logits of the bundle, of the checkpoint, and of the bundle's weights in PyTorch."""
    reference = reference_of(checkpoint.family)
    twins: list[Weights] = []
    if bundle.manifest.recipe.quantized:
        twins = [reference.twin(StoredGraph.open(bundle), bundle.manifest.cache, checkpoint)]
    progress.begin("PyTorch's layers", checkpoint.nbytes * (1 + len(twins)))
    readers = [
        reference.logits_in_pieces(checkpoint, passages, rows=ROWS, weights=weights, on_bytes=progress.advance)
        for weights in (None, *twins)
    ]
    first = [next(reader) for reader in readers]  # when all layers are done
    progress.begin("compare predictions", sum(map(len, passages)), unit="tokens")
    for place, found in enumerate(_of_bundle(decoder, passages)):
        wanted, *stored = first if place == 0 else [next(reader) for reader in readers]
        yield found, wanted, stored[0] if stored else None


def _of_bundle(decoder: Decoder, passages: Sequence[Sequence[int]]) -> Iterator[Floats]:
    """The bundle's logits, a piece at a time."""
    for ids in passages:
        decoder.reset()
        for start in range(0, len(ids), ROWS):
            yield decoder.decode(ids[start : start + ROWS])
    decoder.reset()


def _following(passages: Sequence[Sequence[int]]) -> Iterator[Sequence[int]]:
    """The tokens that the positions of each piece predict: one fewer than there are positions at a passage's end."""
    for ids in passages:
        for start in range(0, len(ids), ROWS):
            yield ids[start + 1 : start + ROWS + 1]


class _Likelihood:
    """Of tokens that follow."""

    def __init__(self) -> None:
        self._nats, self.count = 0.0, 0

    def add(self, logits: Floats, following: Sequence[int]) -> None:
        """``following``: tokens after the first rows; the last row may have none."""
        chosen: NDArray[np.float64] = log_softmax(logits[: len(following)].astype(np.float64))[range(len(following)), following]
        self._nats -= float(chosen.sum())
        self.count += len(following)

    @property
    def perplexity(self) -> float:
        return float(np.exp(self._nats / self.count))
