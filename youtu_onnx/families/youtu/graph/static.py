"""A latent cache in buffers of a reserved length, for providers that capture a graph of fixed shapes.

Past and present are one buffer of ``length`` rows. The attention mask says how many are in use: its last one, over the whole
batch (onnxruntime-genai pads shorter prompts on the right), belongs to the last new token, and what stands behind it was left
by tokens that were taken back, or by nobody. So a step writes its rows at ``T - S … T - 1`` and keeps those before that the
mask has; everything is computed from numbers, nothing from shapes, which a provider would leave to the CPU.

The rows are placed by a product with a matrix of zeros and ones, since DirectML has no scatter: one is in each column. For
Youtu-LLM-2B that is a fiftieth of a step's other products, whatever the step, at 4096 rows. Rows of tokens that aren't there
become zeros.

Shapes: B batch, S new tokens, T tokens so far, M reserved length, H heads, R qk_rope_head_dim, L kv_lora_rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph import positions
from youtu_onnx.families.youtu.graph.attention import Absorbed, OverFloats
from youtu_onnx.families.youtu.graph.device import DeviceDialect
from youtu_onnx.families.youtu.graph.heads import FloatHeads
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.graphs.axes import BATCH, SEQUENCE
from youtu_onnx.graphs.parameter import Parameter
from youtu_onnx.graphs.trace import Part


class StaticPrologue(nn.Module):
    """As ``Prologue``; and which rows of the buffers are kept, and which are written."""

    def __init__(self, architecture: Architecture, length: int) -> None:
        super().__init__()
        self.length = length
        self.embed_tokens = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        # Tables instead of cos and sin: those of GPUs are not exact for the angles of late positions.
        self.rope_cos = nn.Parameter(torch.ones(length, architecture.qk_rope_head_dim))
        self.rope_sin = nn.Parameter(torch.ones(length, architecture.qk_rope_head_dim))
        self.slots = nn.Parameter(torch.ones(length, dtype=torch.float32))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        """The mask is ``[B,T…M]``: zeros behind token T may be there or not.

        Returns hidden ``[B,S,D]``, cos and sin ``[B,S,1,R]``, the additive bias ``[B,1,S,M]``, kept ``[B,1,M,1]`` bool, and
        written ``[1,1,M,S]``, one where a row takes a new token and zero elsewhere.
        """
        hidden = self.embed_tokens(input_ids)
        cos, sin = (nn.functional.embedding(position_ids, table).unsqueeze(2) for table in (self.rope_cos, self.rope_sin))
        none = input_ids[:, :1].float() * 0 * self.slots  # [B,M]
        mask = torch.cat([attention_mask.float(), none], 1)[:, : self.length] != 0
        total = ((self.slots + 1) * mask.float()).amax((0, 1), keepdim=True)  # [1,1]
        counted = torch.cumsum(input_ids[:1].float() * 0 + 1, 1)  # [1,S]: 1 … S
        new = counted.amax(1, keepdim=True)  # [1,1]
        rows = (counted + (total - new - 1)).unsqueeze(2)  # [1,S,1]
        seen = mask.unsqueeze(1) & (self.slots <= rows)  # [B,S,M]
        # Finite and with room for a score, so that a padding row, which sees nothing, gives numbers that nobody reads: a NaN
        # would be in every row of the product that places it.
        bias = torch.where(seen, 0.0, torch.finfo(hidden.dtype).min / 2).to(hidden.dtype).unsqueeze(1)
        kept = (mask & (self.slots < total - new)).unsqueeze(1).unsqueeze(3)
        written = (self.slots.unsqueeze(1) == rows.transpose(1, 2)).to(hidden.dtype).unsqueeze(0)
        return hidden, cos, sin, bias, kept, written


class StaticRows(nn.Module):
    """A row is ``c_kv`` and ``k_rope`` side by side, as in ``FloatRows``."""

    def forward(self, c_kv: Tensor, k_rope: Tensor, past: Tensor, kept: Tensor, written: Tensor) -> Tensor:
        """``[B,S,L]``, ``[B,S,R]``, ``[B,1,M,L+R]``, and what the prologue says → present ``[B,1,M,L+R]``.

        Rows of the past that aren't kept are never computed with: they may hold anything.
        """
        new = torch.cat([c_kv, k_rope], -1).unsqueeze(1)
        return torch.where(kept, past, torch.matmul(written, new))


class StaticAbsorbed(Absorbed):
    """No Concat before a Reshape, which DirectML leaves to the CPU."""

    def query(self, q_nope: Tensor, q_rope: Tensor) -> Tensor:
        rows = (x.reshape(x.shape[0], 1, -1, x.shape[3]) for x in (self.heads.absorb(q_nope), q_rope))
        return torch.cat(list(rows), -1)


@dataclass(frozen=True)
class StaticDialect(DeviceDialect):
    """As for other GPUs, over buffers of ``length`` rows."""

    length: int = 0
    places_rows: ClassVar[bool] = True

    def prologue(self, a: Architecture, *, dither: bool) -> nn.Module:
        return StaticPrologue(a, self.length)

    def positions(self, a: Architecture) -> dict[str, Parameter]:
        return positions.tables(a, self.length) | positions.row_numbers(self.length)

    def attention(self, a: Architecture, latent: Latent, cache: CacheLayout) -> dict[str, Part]:
        new, by_head, heads = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 2: SEQUENCE}, a.num_attention_heads
        return {
            "store": Part(
                StaticRows,
                lambda: [
                    torch.ones(2, 3, a.kv_lora_rank),
                    torch.ones(2, 3, a.qk_rope_head_dim),
                    torch.ones(2, 1, self.length, a.latent_dim),
                    torch.ones(2, 1, self.length, 1, dtype=torch.bool),
                    torch.ones(1, 1, self.length, 3),
                ],
                [new, new, {0: BATCH}, {0: BATCH}, {3: SEQUENCE}],
            ),
            "attend": Part(
                lambda: StaticAbsorbed(a, FloatHeads(a), OverFloats(keys_first=False)),
                lambda: [
                    *(torch.ones(2, heads, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)),
                    torch.ones(2, 1, self.length, a.latent_dim),
                    torch.ones(2, 1, 3, self.length),
                ],
                [by_head, by_head, {0: BATCH}, by_head],
            ),
        }
