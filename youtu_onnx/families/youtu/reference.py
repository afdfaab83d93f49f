"""The PyTorch reference: transformers' own Youtu layers, sharing no line with the graphs that this project writes.

Its configuration is made by transformers of the checkpoint's own ``config.json``, and not of what this project read in it: a
field that :class:`~youtu_onnx.families.youtu.architecture.Architecture` takes for something else shows as a difference.

torch and transformers are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.layerwise import need_torch
from youtu_onnx.families.layerwise_reference import Inputs, LayerwiseReference
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.config_agreement import misreadings, other_numbers
from youtu_onnx.families.youtu.inputs import PROJECTIONS, SAME_INPUT, sources
from youtu_onnx.families.youtu.layerwise import YoutuParts
from youtu_onnx.families.youtu.own_config import own_config
from youtu_onnx.families.youtu.twin import Twin
from youtu_onnx.families.youtu.twin_layer import TwinNumbers
from youtu_onnx.graphs.stored import StoredGraph

if TYPE_CHECKING:
    from transformers import YoutuConfig

    from youtu_onnx.families.youtu.graph import rope
else:
    rope = Deferred("youtu_onnx.families.youtu.graph.rope", "the PyTorch reference", extra="export")


class YoutuReference(LayerwiseReference):
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

    def parts(self, checkpoint: Checkpoint) -> YoutuParts:
        need_torch()
        return YoutuParts(checkpoint, own_config(checkpoint))

    def inputs(self, checkpoint: Checkpoint) -> Inputs:
        return Inputs(SAME_INPUT, PROJECTIONS, sources(cast(Architecture, checkpoint.architecture)))


YOUTU_REFERENCE = YoutuReference()


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
