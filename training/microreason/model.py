"""MicroReason in plain torch: a decoder whose layers choose, token by token, what stays visible.

Without routing it computes what Qwen3 computes (RMS-normed queries and keys, RoPE in halves, SwiGLU, tied embedding),
and its parameters have the same names. Each layer adds a gate, g = sigmoid(gate_proj(x)), on the normed input of its
attention: a token with g > 0.5 stays visible to every later token, another one only within `attention_window` tokens.

Shapes: B sequences, S new tokens, T keys, H heads, D head_dim, C hidden_size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import Cache, LayerRows
from .config import MicroReasonConfig
from .routing import Soft, backward_distance, hard_mask, same_document, soft_bias

GATE_BIAS = 4.0  # sigmoid(4) = 0.98: every gate begins open


@dataclass(frozen=True)
class Output:
    """`hidden` [B, S, C] after the last norm; `gates`: logits of each layer's gates [B, S], empty in dense mode."""

    hidden: Tensor
    gates: tuple[Tensor, ...]


@dataclass(frozen=True)
class Sight:
    """What the tokens of one forward pass may see, shared by the layers. `soft` is None at inference.

    `seen` [B or 1, S, S] is what order and documents allow among the new tokens, `distance` [S, S] how far back a key lies.
    """

    routed: bool
    soft: Soft | None
    valid: Tensor  # [B, S], false for padding
    seen: Tensor
    distance: Tensor


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def rope(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [B, 1, S, D] of positions [B, S]; the two halves of D turn together (as Llama does)."""
    rates = theta ** -(torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim)
    angles = positions[:, None, :, None].float() * rates
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return x * turn[0].to(x.dtype) + torch.cat((-right, left), dim=-1) * turn[1].to(x.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """softmax(q·k/sqrt(D) + mask)·v, [B, H, S, D]. `mask` [B, S, T] is bool, or what is added to the scores.

    Written out, because compiled for short rows on a CPU it is a third faster than the fused kernel with a mask.
    """
    scores = ((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)).float()  # [B, H, S, T]
    mask = mask[:, None]
    scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    out: Tensor = scores.softmax(dim=-1).to(value.dtype) @ value
    return out


class Attention(nn.Module):
    def __init__(self, config: MicroReasonConfig):
        super().__init__()
        self.config = config
        inner = config.num_attention_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, inner, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, inner, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, inner, bias=False)
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=False)
        self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
        self.gate_proj = nn.Linear(config.hidden_size, 1)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], sight: Sight, past: LayerRows | None, caching: bool
    ) -> tuple[Tensor, Tensor | None, LayerRows | None]:
        """The layer's output [B, S, C], its gates' logits [B, S] where it routes, its rows where a cache is kept."""
        b, s, _ = x.shape
        shape = (b, s, self.config.num_attention_heads, self.config.head_dim)
        query = rotate(self.q_norm(self.q_proj(x).view(shape)).transpose(1, 2), turn)  # [B, H, S, D]
        key = rotate(self.k_norm(self.k_proj(x).view(shape)).transpose(1, 2), turn)
        value = self.v_proj(x).view(shape).transpose(1, 2)
        gates = self.gate_proj(x).squeeze(-1).float() if sight.routed else None  # [B, S]
        rows = None
        if caching:
            opened = torch.ones_like(sight.valid) if gates is None else gates > 0
            rows = LayerRows(key, value, opened, sight.valid)
            rows = past.append(rows) if past is not None else rows
            key, value = rows.key, rows.value
        out = attend(query, key, value, self.mask(gates, sight, rows))
        out = self.o_proj(out.transpose(1, 2).reshape(b, s, -1))
        return out, gates, rows.without_shut(self.config.attention_window) if rows is not None else None

    def mask(self, gates: Tensor | None, sight: Sight, rows: LayerRows | None) -> Tensor:
        """[B or 1, S, T] over the stored rows, or over the new tokens where nothing is stored: bool, or scores if soft."""
        window = self.config.attention_window
        if rows is not None:
            valid = rows.valid.int()
            distance = backward_distance(sight.distance.shape[0], valid.shape[1], valid.device)
            seen = (distance >= 0) & same_document(sight.valid.int(), valid)
            return hard_mask(seen, distance, rows.opened, window)
        if gates is None:
            return sight.seen
        if sight.soft is None:
            return hard_mask(sight.seen, sight.distance, gates > 0, window)
        return soft_bias(sight.seen, sight.distance, sight.soft.log_gate(gates), window)


class MLP(nn.Module):
    def __init__(self, config: MicroReasonConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class DecoderLayer(nn.Module):
    def __init__(self, config: MicroReasonConfig):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], sight: Sight, past: LayerRows | None, caching: bool
    ) -> tuple[Tensor, Tensor | None, LayerRows | None]:
        out, gates, rows = self.self_attn(self.input_layernorm(x), turn, sight, past, caching)
        x = x + out
        return x + self.mlp(self.post_attention_layernorm(x)), gates, rows


class MicroReasonModel(nn.Module):
    def __init__(self, config: MicroReasonConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        soft: Soft | None = None,
    ) -> Output:
        """input_ids [B, S]. `document_ids` [B, S] number the documents of packed rows from 1, 0 is padding; none sees
        another. With a cache each sequence is one document, padded on the left, and the cache is extended.
        `position_ids` [B, S] default to the tokens' places. `soft` trains the gates, without a cache.
        """
        if soft is not None and cache is not None:
            raise ValueError("soft gates are for training, where nothing is cached; give one of soft and cache")
        b, s = input_ids.shape
        start = cache.length if cache is not None else 0
        if position_ids is None:
            position_ids = torch.arange(start, start + s, device=input_ids.device).expand(b, s)
        turn = rope(position_ids, self.config.head_dim, self.config.rope_theta)
        distance = backward_distance(s, s, input_ids.device)
        seen, valid = (distance >= 0)[None], torch.ones(b, s, dtype=torch.bool, device=input_ids.device)
        if document_ids is not None:
            seen, valid = seen & same_document(document_ids, document_ids), document_ids > 0
        sight = Sight(self.config.attention_routing or soft is not None, soft, valid, seen, distance)
        x, gates, kept = self.embed_tokens(input_ids), [], []
        for index, layer in enumerate(self.layers):
            past = cache.layers[index] if cache is not None and cache.layers else None
            x, gate, rows = layer(x, turn, sight, past, cache is not None)
            gates.append(gate)
            kept.append(rows)
        if cache is not None:
            cache.layers, cache.length = kept, start + s
        return Output(self.norm(x), tuple(gates) if sight.routed else ())


class MicroReasonForCausalLM(nn.Module):
    """The decoder with the embedding as its output matrix. `forward` gives logits; training calls `model` and `logits`."""

    def __init__(self, config: MicroReasonConfig):
        super().__init__()
        self.config = config
        self.model = MicroReasonModel(config)
        self.initialize()

    def initialize(self) -> None:
        """Normal weights, those that write to the residual stream scaled by depth; gates open and indifferent."""
        deep = (2 * self.config.num_hidden_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if name.endswith("self_attn.gate_proj.weight"):
                nn.init.zeros_(parameter)
            elif name.endswith("self_attn.gate_proj.bias"):
                nn.init.constant_(parameter, GATE_BIAS)
            elif parameter.ndim == 2:
                scale = deep if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
                nn.init.normal_(parameter, std=self.config.initializer_range * scale)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.model.embed_tokens.weight)

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        soft: Soft | None = None,
    ) -> Tensor:
        return self.logits(self.model(input_ids, position_ids, document_ids, cache, soft).hidden)
