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
        heads: the distance of PyTorch with nothing but the stored integers of W_UK and W_UV. None where they are no integers.
        beside: another bundle's distance from the checkpoint; None without one.
    """

    predicted: int
    perplexity: float
    float_perplexity: float | None = None
    whole: Distance | None = None
    weights: Distance | None = None
    heads: Distance | None = None
    beside: Distance | None = None

    @property
    def added(self) -> float | None:
        """The mean divergence that the bundle has more than the one beside it."""
        return None if self.whole is None or self.beside is None else self.whole.mean - self.beside.mean

    def to_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "predicted": self.predicted,
            "perplexity": self.perplexity,
            "float_perplexity": self.float_perplexity,
        }
        parts = (("", self.whole), ("weights_", self.weights), ("heads_", self.heads), ("beside_", self.beside))
        for prefix, one in parts:
            if one is not None:
                made |= {f"{prefix}{name}": value for name, value in one.to_dict().items()}
        return made if self.added is None else made | {"added_kl_mean": self.added}


@dataclass(frozen=True)
class _Piece:
    """Logits of some positions: the bundle's; the checkpoint's; PyTorch's with the bundle's weights, and with those of its heads
    alone; another bundle's."""

    found: Floats
    wanted: Floats | None = None
    stored: Floats | None = None
    heads: Floats | None = None
    beside: Floats | None = None


def measure(
    bundle: Bundle,
    decoder: Decoder,
    passages: Sequence[Sequence[int]],
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    beside: Decoder | None = None,
) -> Language:
    """
    Args:
        decoder: of the bundle; its sequence is lost.
        passages: token ids, at least two each.
        beside: of another bundle of the same checkpoint, whose distance is measured, too; needs the checkpoint.

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
    own, float_ = _Likelihood(), _Likelihood()
    whole, by_weights, by_heads, others = Distances(), Distances(), Distances(), Distances()
    pieces: Iterator[_Piece]
    if checkpoint is None:
        progress.begin("read the text", total, unit="tokens")
        pieces = map(_Piece, _of_bundle(decoder, passages))
    else:
        refuse_another_shape(bundle, checkpoint)
        pieces = _beside_pytorch(bundle, decoder, passages, checkpoint, progress, beside)
    for following, piece in zip(_following(passages), pieces, strict=True):
        own.add(piece.found, following)
        if (wanted := piece.wanted) is not None:
            float_.add(wanted, following)
            for distances, logits in (
                (whole, piece.found),
                (by_weights, piece.stored),
                (by_heads, piece.heads),
                (others, piece.beside),
            ):
                if logits is not None:
                    distances.add(wanted, logits)
        progress.advance(len(piece.found))
    progress.finish()
    return Language(
        own.count,
        own.perplexity,
        float_.perplexity if float_.count else None,
        whole.summary(),
        by_weights.summary(),
        by_heads.summary(),
        others.summary(),
    )


def _beside_pytorch(
    bundle: Bundle,
    decoder: Decoder,
    passages: Sequence[Sequence[int]],
    checkpoint: Checkpoint,
    progress: Progress,
    beside: Decoder | None,
) -> Iterator[_Piece]:
    reference = reference_of(checkpoint.family)
    twins: list[Weights] = []
    if bundle.manifest.recipe.quantized:
        twin = reference.twin(
            StoredGraph.open(bundle), bundle.manifest.cache, checkpoint, rescaled=bundle.manifest.recipe.rescaled
        )
        heads = twin.heads_alone()
        twins = [twin] if heads is None else [twin, heads]
    progress.begin("PyTorch's layers", checkpoint.nbytes * (1 + len(twins)))
    readers = [
        reference.logits_in_pieces(checkpoint, passages, rows=ROWS, weights=weights, on_bytes=progress.advance)
        for weights in (None, *twins)
    ]
    first = [next(reader) for reader in readers]  # when all layers are done
    progress.begin("compare predictions", sum(map(len, passages)), unit="tokens")
    others: Iterator[Floats] = iter(()) if beside is None else _of_bundle(beside, passages)
    for place, found in enumerate(_of_bundle(decoder, passages)):
        wanted, *more = first if place == 0 else [next(reader) for reader in readers]
        of_twin, of_heads = (*more, None, None)[:2]
        yield _Piece(found, wanted, of_twin, of_heads, next(others, None))


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
