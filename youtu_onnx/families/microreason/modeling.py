"""The model in PyTorch, as transformers would have it: Qwen3's own layers, to which a gate is added by its definition.

Nothing of this is traced or exported. Imports torch and transformers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer, Qwen3RMSNorm, Qwen3RotaryEmbedding

Turns = tuple[Tensor, Tensor]


def microreason_config(fields: Mapping[str, Any]) -> Qwen3Config:
    """A checkpoint's ``config.json`` as transformers reads a Qwen3's; the gates' own fields are attributes of it."""
    read = copy.deepcopy(dict(fields)) | {"model_type": "qwen3"}
    gates = {"attention_window": read.get("attention_window"), "attention_routing": read.get("attention_routing", False)}
    made = Qwen3Config.from_dict(read | gates)
    made._attn_implementation = "sdpa"
    return made


class MicroReasonDecoderLayer(Qwen3DecoderLayer):  # type: ignore[no-untyped-call]
    """A Qwen3 layer in which a token that isn't gated open is seen by the next tokens of its window only."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__(config, layer_idx=0)
        self.attention_window, self.attention_routing = int(config.attention_window), bool(config.attention_routing)
        if self.attention_routing:
            self.self_attn.gate_proj = nn.Linear(config.hidden_size, 1)

    def visible(self, hidden_states: Tensor) -> Tensor:
        """Of whole sequences ``[B, S, hidden_size]`` the mask ``[B or 1, 1, S, S]``: true where a query (third axis) sees a
        key."""
        queries, keys = (torch.arange(hidden_states.shape[1]).unsqueeze(axis) for axis in (1, 0))
        seen = (keys <= queries)[None]
        if self.attention_routing:
            gate_proj = cast(nn.Linear, self.self_attn.gate_proj)
            gates = torch.sigmoid(gate_proj(self.input_layernorm(hidden_states)))  # [B, S, 1]
            seen = seen & ((gates.transpose(1, 2) > 0.5) | (queries - keys < self.attention_window))
        return seen.unsqueeze(1)


class MicroReasonParts:
    """Implements :class:`youtu_onnx.families.layerwise.LayerParts`."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.config = microreason_config(fields)
        self.rotary = Qwen3RotaryEmbedding(self.config)

    def empty_layer(self) -> MicroReasonDecoderLayer:
        with torch.device("meta"):
            return MicroReasonDecoderLayer(self.config).eval()

    def empty_norm(self) -> nn.Module:
        made: nn.Module = Qwen3RMSNorm(self.config.hidden_size, eps=self.config.rms_norm_eps)
        return made

    def turns(self, states: Tensor) -> Turns:
        made: Turns = self.rotary(states, torch.arange(states.shape[1])[None])
        return made

    def run(self, layer: MicroReasonDecoderLayer, states: Tensor, turns: Turns) -> Tensor:
        made: Tensor = layer(states, attention_mask=layer.visible(states), position_embeddings=turns)
        return made

    def attend(self, layer: MicroReasonDecoderLayer, states: Tensor, turns: Turns) -> None:
        normed, visible = layer.input_layernorm(states), layer.visible(states)
        layer.self_attn(hidden_states=normed, attention_mask=visible, position_embeddings=turns)
