"""transformers' own Youtu layers, for :mod:`youtu_onnx.families.layerwise`. torch and transformers are imported where they are
used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.own_config import what_transformers_says

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import YoutuConfig
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer, YoutuRMSNorm


@dataclass(frozen=True)
class YoutuParts:
    """Implements :class:`youtu_onnx.families.layerwise.LayerParts`."""

    checkpoint: Checkpoint
    config: YoutuConfig

    def empty_layer(self) -> YoutuDecoderLayer:
        import torch
        from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer

        with what_transformers_says(self.checkpoint), torch.device("meta"):
            return YoutuDecoderLayer(self.config, layer_idx=0).eval()

    def empty_norm(self) -> YoutuRMSNorm:
        from transformers.models.youtu.modeling_youtu import YoutuRMSNorm

        return YoutuRMSNorm(self.checkpoint.architecture.hidden_size, eps=self.config.rms_norm_eps)

    def rotary(self) -> Any:
        """Called with states ``[1, S, hidden_size]`` and positions ``[1, S]``: cos and sin, each ``[1, S, qk_rope_head_dim]``."""
        from transformers.models.youtu.modeling_youtu import YoutuRotaryEmbedding

        with what_transformers_says(self.checkpoint):
            return YoutuRotaryEmbedding(self.config)

    def turns(self, states: Tensor) -> Any:
        """By a fresh module for each: under dynamic RoPE it remembers the longest sequence that it saw."""
        import torch

        return self.rotary()(states, torch.arange(states.shape[1])[None])

    def run(self, layer: YoutuDecoderLayer, states: Tensor, turns: Any) -> Tensor:
        made: Tensor = layer(states, attention_mask=None, position_embeddings=turns)
        return made

    def attend(self, layer: YoutuDecoderLayer, states: Tensor, turns: Any) -> None:
        layer.self_attn(hidden_states=layer.input_layernorm(states), attention_mask=None, position_embeddings=turns)
