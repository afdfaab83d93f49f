"""A reference that reads a model one layer at a time: what is the same for every family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.drifted_moments import Projections, drifted_moments
from youtu_onnx.families.layerwise import logits, logits_in_pieces, nobody
from youtu_onnx.families.reference import ChooseFactors, Drifted, Floats, Weights
from youtu_onnx.families.rescaled import Rescaled, Source, rescaled
from youtu_onnx.families.second_moments import SameInput, second_moments

if TYPE_CHECKING:
    from torch import Tensor

    from youtu_onnx.families.layerwise import LayerParts


@dataclass(frozen=True)
class Inputs:
    """What a layer's matrices read.

    Attributes:
        same: see :mod:`youtu_onnx.families.second_moments`.
        projections: see :mod:`youtu_onnx.families.drifted_moments`.
        sources: where factors of an input's channels go; see :mod:`youtu_onnx.families.rescaled`.
        passed_over: linear layers whose weights nobody rounds.
    """

    same: SameInput
    projections: Projections
    sources: Sequence[Source]
    passed_over: tuple[str, ...] = ()


class LayerwiseReference(ABC):
    """Implements :class:`youtu_onnx.families.reference.Reference`, but for ``misreadings`` and ``twin``."""

    @abstractmethod
    def parts(self, checkpoint: Checkpoint) -> LayerParts:
        """
        Raises:
            CheckpointError: the reference makes no model of the checkpoint's config, or its packages are missing.
        """

    @abstractmethod
    def inputs(self, checkpoint: Checkpoint) -> Inputs: ...

    def logits(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        keep: Sequence[slice] | None = None,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> list[Floats]:
        return logits(checkpoint, self.parts(checkpoint), sequences, keep, weights or checkpoint, on_bytes or nobody)

    def logits_in_pieces(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        rows: int,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Floats]:
        return logits_in_pieces(checkpoint, self.parts(checkpoint), sequences, rows, weights or checkpoint, on_bytes or nobody)

    def second_moments(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        diagonal: bool = False,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Mapping[str, Tensor]]:
        inputs, report = self.inputs(checkpoint), on_bytes or nobody
        return second_moments(
            checkpoint,
            self.parts(checkpoint),
            sequences,
            inputs.same,
            report,
            passed_over=inputs.passed_over,
            diagonal=diagonal,
            weights=weights,
        )

    def drifted_moments(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        rounded: MutableMapping[str, Tensor],
        *,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Mapping[str, Callable[[], Drifted]]]:
        parts, report = self.parts(checkpoint), on_bytes or nobody
        projections = self.inputs(checkpoint).projections
        return drifted_moments(checkpoint, parts, sequences, projections, rounded, weights or checkpoint, report)

    def rescaled(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        choose: ChooseFactors,
        *,
        diagonal: bool = False,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Rescaled:
        moments = self.second_moments(checkpoint, sequences, diagonal=diagonal, on_bytes=on_bytes)
        return rescaled(checkpoint, self.inputs(checkpoint).sources, moments, choose)
