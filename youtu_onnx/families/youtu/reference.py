"""The PyTorch reference: transformers' own Youtu layers, sharing no line with the graphs that this project writes.

Its configuration is made by transformers of the checkpoint's own ``config.json``, and not of what this project read in it: a
field that :class:`~youtu_onnx.families.youtu.architecture.Architecture` takes for something else shows as a difference.

torch and transformers are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, cast

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.drifted_moments import drifted_moments
from youtu_onnx.families.layerwise import logits, logits_in_pieces, need_torch, nobody
from youtu_onnx.families.reference import ChooseFactors, Drifted, Floats, Weights
from youtu_onnx.families.rescaled import Rescaled, rescaled
from youtu_onnx.families.second_moments import second_moments
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.config_agreement import misreadings, other_numbers
from youtu_onnx.families.youtu.inputs import PROJECTIONS, SAME_INPUT, sources
from youtu_onnx.families.youtu.layerwise import YoutuParts
from youtu_onnx.families.youtu.own_config import own_config
from youtu_onnx.families.youtu.twin import Twin
from youtu_onnx.families.youtu.twin_layer import TwinNumbers
from youtu_onnx.graphs.stored import StoredGraph

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import YoutuConfig

    from youtu_onnx.families.youtu.graph import rope
else:
    rope = Deferred("youtu_onnx.families.youtu.graph.rope", "the PyTorch reference", extra="export")


class YoutuReference:
    """Implements :class:`youtu_onnx.families.reference.Reference`."""

    def misreadings(self, checkpoint: Checkpoint) -> list[str]:
        """Fields, and then the numbers that are made of them."""
        need_torch()
        architecture, config = cast(Architecture, checkpoint.architecture), own_config(checkpoint)
        theirs = _numbers(checkpoint, config)
        return misreadings(architecture, config) or other_numbers(
            softmax_scales=(architecture.softmax_scale, theirs.softmax_scale),
            rotation_scales=(rope.attention_scaling(architecture), theirs.rotation_scale),
            frequencies=(rope.inverse_frequencies(architecture).numpy(), theirs.inverse_frequencies),
        )

    def twin(self, stored: StoredGraph, cache: CacheLayout, checkpoint: Checkpoint, *, rescaled: bool = False) -> Twin:
        need_torch()
        return Twin(stored, cache, checkpoint, _numbers(checkpoint, own_config(checkpoint)), rescaled=rescaled)

    def logits(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        keep: Sequence[slice] | None = None,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> list[Floats]:
        return logits(checkpoint, _parts(checkpoint), sequences, keep, weights or checkpoint, on_bytes or nobody)

    def logits_in_pieces(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        rows: int,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Floats]:
        return logits_in_pieces(checkpoint, _parts(checkpoint), sequences, rows, weights or checkpoint, on_bytes or nobody)

    def second_moments(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        diagonal: bool = False,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Mapping[str, Tensor]]:
        parts, report = _parts(checkpoint), on_bytes or nobody
        return second_moments(checkpoint, parts, sequences, SAME_INPUT, report, diagonal=diagonal, weights=weights)

    def drifted_moments(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        rounded: MutableMapping[str, Tensor],
        *,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Mapping[str, Drifted]]:
        parts, report = _parts(checkpoint), on_bytes or nobody
        return drifted_moments(checkpoint, parts, sequences, PROJECTIONS, rounded, weights or checkpoint, report)

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
        return rescaled(checkpoint, sources(cast(Architecture, checkpoint.architecture)), moments, choose)


YOUTU_REFERENCE = YoutuReference()


def _parts(checkpoint: Checkpoint) -> YoutuParts:
    need_torch()
    return YoutuParts(checkpoint, own_config(checkpoint))


def _numbers(checkpoint: Checkpoint, config: YoutuConfig) -> TwinNumbers:
    """What transformers makes of a configuration."""
    import torch

    parts = YoutuParts(checkpoint, config)
    turns = parts.rotary()
    return TwinNumbers(
        softmax_scale=float(parts.empty_layer().self_attn.scaling),
        inverse_frequencies=turns.inv_freq.to(torch.float32).numpy(),
        rotation_scale=float(turns.attention_scaling),
        interleaved=bool(config.rope_interleave),
    )
