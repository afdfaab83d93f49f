"""The PyTorch reference: :mod:`youtu_onnx.families.microreason.modeling`, sharing no line with the graphs that this project
writes.

Its configuration is made by transformers of the checkpoint's own ``config.json``, and not of what this project read in it. torch
and transformers are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.checkpoint_files import CONFIG
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.layerwise import need_torch
from youtu_onnx.families.layerwise_reference import Inputs, LayerwiseReference
from youtu_onnx.families.microreason.architecture import SIZES, Architecture
from youtu_onnx.families.microreason.inputs import GATE, PROJECTIONS, SAME_INPUT, SOURCES
from youtu_onnx.families.microreason.twin import Twin
from youtu_onnx.graphs.stored import StoredGraph

if TYPE_CHECKING:
    from youtu_onnx.families.microreason import modeling
else:
    modeling = Deferred("youtu_onnx.families.microreason.modeling", "the PyTorch reference", extra="export")

SAME = (*SIZES, "attention_routing", "rms_norm_eps", "tie_word_embeddings")
"""Fields with one name here and in transformers' configuration."""


class MicroReasonReference(LayerwiseReference):
    """Implements :class:`youtu_onnx.families.reference.Reference`."""

    def misreadings(self, checkpoint: Checkpoint) -> list[str]:
        a, config = cast(Architecture, checkpoint.architecture), self.parts(checkpoint).config
        rope: dict[str, Any] = dict(config.rope_parameters or {})
        pairs = {name: (getattr(a, name), getattr(config, name)) for name in SAME}
        pairs["num_key_value_heads"] = a.num_attention_heads, config.num_key_value_heads
        pairs["rope_theta"] = a.rope_theta, rope.get("rope_theta")
        pairs["rope_type"] = "default", rope.get("rope_type")
        pairs["use_sliding_window"] = False, config.use_sliding_window
        pairs["attention_bias"] = False, config.attention_bias
        return [
            f"{name}: {ours!r} to youtu-onnx, {theirs!r} to transformers"
            for name, (ours, theirs) in pairs.items()
            if ours != theirs
        ]

    def twin(self, stored: StoredGraph, cache: CacheLayout, checkpoint: Checkpoint, *, rescaled: bool = False) -> Twin:
        parts = self.parts(checkpoint)
        scale = float(parts.empty_layer().self_attn.scaling)
        return Twin(stored, checkpoint, parts.rotary.inv_freq.float().numpy(), scale, rescaled=rescaled)

    def parts(self, checkpoint: Checkpoint) -> modeling.MicroReasonParts:
        need_torch()
        try:
            return modeling.MicroReasonParts(checkpoint.config)
        except (TypeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{checkpoint.path / CONFIG}: transformers makes no model of it ({type(error).__name__}: {error})",
                hint="compare it with the config.json that training wrote",
            ) from error

    def inputs(self, checkpoint: Checkpoint) -> Inputs:
        return Inputs(SAME_INPUT, PROJECTIONS, SOURCES, passed_over=(GATE,))


MICROREASON_REFERENCE = MicroReasonReference()
