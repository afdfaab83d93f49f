"""Torch modules that decoders of every family are traced of. Parameter names are Hugging Face's, but that ``gate_proj`` and
``up_proj``, which read the same input, are one matrix, ``gate_up_proj``.

Shapes: B batch, S new tokens, D hidden_size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from youtu_onnx.graphs import fused


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class SimplifiedRMSNorm(RMSNorm):
    """As ONNX Runtime's own operator, which its providers had before ONNX got one."""

    def forward(self, x: Tensor) -> Tensor:
        return fused.rms_norm(x, self.weight, self.eps)


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, hidden_size: int, intermediate_size: int, silu: Callable[[Tensor], Tensor] = F.silu) -> None:
        super().__init__()
        self.silu = silu
        self.gate_up_proj = nn.Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        made: Tensor = self.down_proj(self.silu(gate) * up)
        return made


class Completion(nn.Module):
    """What follows attention in a layer: its output projection and the MLP, each added to the hidden states."""

    def __init__(
        self,
        hidden_size: int,
        context_size: int,
        intermediate_size: int,
        eps: float,
        norm: type[RMSNorm] = RMSNorm,
        silu: Callable[[Tensor], Tensor] = F.silu,
        *,
        bias: bool = False,
    ) -> None:
        """``context_size``: numbers of all heads' contexts; ``bias``: of the output projection."""
        super().__init__()
        self.self_attn = nn.ModuleDict({"o_proj": nn.Linear(context_size, hidden_size, bias=bias)})
        self.post_attention_layernorm = norm(hidden_size, eps)
        self.mlp = MLP(hidden_size, intermediate_size, silu)

    def forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        """``[B,S,D]`` and ``[B,S,context_size]`` → ``[B,S,D]``."""
        hidden = hidden + self.self_attn["o_proj"](context)
        made: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return made


class Epilogue(nn.Module):
    """Final norm and language-model head: hidden ``[B,S,D]`` → logits ``[B,S,vocab]``."""

    def __init__(self, hidden_size: int, vocab_size: int, eps: float, norm: type[RMSNorm] = RMSNorm) -> None:
        super().__init__()
        self.norm = norm(hidden_size, eps)
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.norm(hidden))
        return logits


def split_heads(x: Tensor, width: int) -> Tensor:
    """``[B,S,H·width]`` → ``[B,H,S,width]``."""
    return x.reshape(x.shape[0], x.shape[1], -1, width).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """``[B,H,S,width]`` → ``[B,S,H·width]``."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)
