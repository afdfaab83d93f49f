"""MicroReason as torch modules made to be traced, in parts: what precedes the layers, one layer, what follows them.

All layers are alike, so one is traced and repeated in the graph. Parameter names are Hugging Face's, except where several tensors
are fused; ``parameters.py`` says how each is built:

- ``self_attn.qkv_proj``: ``q_proj``, ``k_proj`` and ``v_proj``, which read the same input;
- ``mlp.gate_up_proj``: ``gate_proj`` and ``up_proj``;
- ``self_attn.gate_proj``: the gate's one row as a column, and its bias, negative, as what it has to exceed.

The softmax scale is in ``q_norm``'s weight. What is cached of a gate: see ``families/microreason/cache.py``.

Shapes: B batch, S new tokens, P past rows, T = P + S, C hidden_size, H heads, D head_dim, W a cached row's width, D or D + 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.onnx.ops import rotary_embedding

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.cache import OPEN, PADDING, SHUT
from youtu_onnx.graphs import fused
from youtu_onnx.graphs.modules import RMSNorm, merge_heads


def hidden_from_view(dtype: torch.dtype) -> float:
    """What is added to a score that is not to count: finite, so that a padding row, which sees nothing, gives numbers that nobody
    reads and not NaN, and with room for a second one."""
    return torch.finfo(dtype).min / 4


class Prologue(nn.Module):
    """Token embedding, RoPE's cos and sin, and what order and padding allow, computed once and used by every layer."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.a = architecture
        self.embed_tokens = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        self.inv_freq = nn.Parameter(torch.ones(architecture.head_dim // 2, dtype=torch.float32))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        """Returns hidden ``[B,S,C]``, cos and sin ``[B,S,D/2]``, the bias ``[B,1,S,T]``, and where the model routes ``far``
        ``[1,1,S,T]``: what is added to scores of shut tokens, nothing within the window."""
        hidden, cos, sin = self.embedded(input_ids, position_ids)
        return hidden, cos, sin, *self.biases(input_ids.shape[1], attention_mask, hidden.dtype)

    def biases(self, new: int, attention_mask: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        total, never = attention_mask.shape[1], hidden_from_view(dtype)
        distance = (torch.arange(new) + (total - new)).unsqueeze(1) - torch.arange(total).unsqueeze(0)  # [S,T]
        seen = (distance >= 0) & (attention_mask != 0).unsqueeze(1).unsqueeze(1)  # [B,1,S,T]
        bias = torch.where(seen, 0.0, never).to(dtype)
        if not self.a.attention_routing:
            return (bias,)
        far = torch.where(distance >= self.a.attention_window, never, 0.0).to(dtype)
        return bias, far.unsqueeze(0).unsqueeze(0)

    def embedded(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.embed_tokens(input_ids)
        angles = position_ids.unsqueeze(-1).float() * self.inv_freq  # [B,S,D/2]
        return hidden, angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)


class RoutedPrologue(Prologue):
    """As ``Prologue``; how many rows there are is each layer's own matter."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        """Returns hidden ``[B,S,C]``, cos and sin ``[B,S,D/2]``, padding ``[B,1,S,1]``, which is added to a gate's number, and
        ``near`` ``[1,1,S+1,T]``: what a query adds to the numbers of rows, the last ones of which are the last tokens. The query
        behind all others is that of the next step's first token."""
        hidden, cos, sin = self.embedded(input_ids, position_ids)
        new, total = input_ids.shape[1], attention_mask.shape[1]
        none = attention_mask[:, total - new :] == 0
        padding = torch.where(none, float(PADDING), 0.0).to(hidden.dtype).unsqueeze(1).unsqueeze(3)
        return hidden, cos, sin, padding, self.near(new, total, hidden.dtype)

    def near(self, new: int, total: int, dtype: torch.dtype) -> Tensor:
        distance = (torch.arange(new + 1) + (total - new)).unsqueeze(1) - torch.arange(total).unsqueeze(0)  # [S+1,T]
        near = torch.where(distance < self.a.attention_window, 1.0, 0.0) + torch.where(distance < 0, 2.0 * PADDING, 0.0)
        return near.to(dtype).unsqueeze(0).unsqueeze(0)


class Projection(nn.Module):
    """From hidden states to queries, and to the rows that a token leaves in the cache."""

    def __init__(self, architecture: Architecture, norm: type[RMSNorm], projections: type[Projections]) -> None:
        super().__init__()
        self.input_layernorm = norm(architecture.hidden_size, architecture.rms_norm_eps)
        self.self_attn = projections(architecture, norm)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, *padding: Tensor) -> tuple[Tensor, ...]:
        """Returns query, key and value, ``[B,H,S,W]`` each, the former two rotated; and for a routed cache the gates' numbers
        ``[B,1,S,1]``."""
        made: tuple[Tensor, ...] = self.self_attn(self.input_layernorm(hidden), cos, sin, *padding)
        return made


class Projections(nn.Module):
    def __init__(self, architecture: Architecture, norm: type[RMSNorm] = RMSNorm) -> None:
        super().__init__()
        a = self.a = architecture
        self.qkv_proj = nn.Linear(a.hidden_size, 3 * a.inner_size, bias=False)
        self.q_norm, self.k_norm = (norm(a.head_dim, a.rms_norm_eps) for _ in ("query", "key"))
        if a.attention_routing:
            self.gate_proj = Gate(a.hidden_size)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, *padding: Tensor) -> tuple[Tensor, ...]:
        parts = self.qkv_proj(hidden).split([self.a.inner_size] * 3, -1)
        query, key, value = (self.apart(part) for part in parts)
        query, key = self.rotated(self.q_norm(query), self.k_norm(key), cos, sin)
        gates = []
        if self.a.attention_routing:
            opened = self.gate_proj(hidden)  # [B,S,1]
            if padding:
                gates = [torch.where(opened.unsqueeze(1), float(OPEN), float(SHUT)).to(hidden.dtype) + padding[0]]
            else:
                none = query[..., :1] * 0  # [B,S,H,1]; a constant would have to be stretched by sizes
                shut = none + torch.where(opened.unsqueeze(2), 0.0, 1.0).to(hidden.dtype)
                query, key, value = (torch.cat(pair, -1) for pair in ((query, none), (key, shut), (value, none)))
        return *(x.transpose(1, 2) for x in (query, key, value)), *gates

    def apart(self, x: Tensor) -> Tensor:
        """``[B,S,H·D]`` → ``[B,S,H,D]``."""
        return x.reshape(x.shape[0], x.shape[1], self.a.num_attention_heads, self.a.head_dim)

    def rotated(self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """``[B,S,H,D]`` each, both in one operator."""
        both = torch.cat([query, key], 2).reshape(query.shape[0], query.shape[1], -1)  # [B,S,2·H·D]
        turned = rotary_embedding(both, cos, sin, num_heads=2 * self.a.num_attention_heads)
        query, key = torch.split(turned, [self.a.inner_size] * 2, -1)
        return self.apart(query), self.apart(key)


class Gate(nn.Module):
    """Normed hidden states ``[B,S,C]`` → ``[B,S,1]``, whether the gate ``sigmoid(x·w + b)`` is over a half."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.weight, self.threshold = nn.Parameter(torch.ones(hidden_size, 1)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight) > self.threshold


class Attention(nn.Module):
    """Over a row for every token."""

    def __init__(self, architecture: Architecture, *, fused_product: bool) -> None:
        """``fused_product``: whether ONNX Runtime's product with a transposed matrix runs there."""
        super().__init__()
        self.a, self.fused_product = architecture, fused_product

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, past_key: Tensor, past_value: Tensor, bias: Tensor, *far: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``[B,H,S,W]`` each, pasts ``[B,H,P,W]``, and what the prologue says; returns the context ``[B,S,H·D]`` and both
        presents ``[B,H,T,W]``."""
        return self.attend(query, torch.cat([past_key, key], 2), torch.cat([past_value, value], 2), bias, *far)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, *far: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if far:
            shut = key[:, :1, :, self.a.head_dim :].reshape(key.shape[0], 1, 1, key.shape[2])
            bias = bias + far[0] * shut
        context = self.sums(query, key, value, bias)
        return merge_heads(context[..., : self.a.head_dim] if far else context), key, value

    def sums(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        product = fused.transposed_product(query, key) if self.fused_product else torch.matmul(query, key.transpose(2, 3))
        return torch.matmul(torch.softmax(product + bias, -1), value)


class RoutedAttention(Attention):
    """Over the rows that a layer kept, and which of them it keeps on."""

    def forward(  # type: ignore[override]  # never called as one
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        gate: Tensor,
        past_key: Tensor,
        past_value: Tensor,
        past_gate: Tensor,
        near: Tensor,
    ) -> tuple[Tensor, ...]:
        """As :class:`Attention`, with gates' numbers ``[B,1,S,1]`` and ``[B,1,P,1]``; ``near`` is that of these rows,
        ``[1,1,S+1,T]``. Returns the context, key, value and gate of all rows, and which of these stay, ``[T]`` bool."""
        pairs = ((past_key, key), (past_value, value), (past_gate, gate))
        key, value, gate = (torch.cat(pair, 2) for pair in pairs)
        seen = near + gate.reshape(gate.shape[0], 1, 1, gate.shape[2])  # [B,1,S+1,T]
        new = query.shape[2]
        bias = torch.where(seen[:, :, :new] >= 0, 0.0, hidden_from_view(query.dtype)).to(query.dtype)
        kept = seen[:, :, new:].amax((0, 1, 2)) >= 0
        return merge_heads(self.sums(query, key, value, bias)), key, value, gate, kept
