"""Which matrices of a layer read the same input, and what makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from youtu_onnx.families.drifted_moments import Projections, Side, normed_hidden
from youtu_onnx.families.rescaled import Source
from youtu_onnx.families.second_moments import SameInput
from youtu_onnx.families.youtu.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor

SAME_INPUT: SameInput = {
    "self_attn.kv_a_proj_with_mqa": ("self_attn.q_a_proj", "self_attn.q_proj"),
    "mlp.up_proj": ("mlp.gate_proj",),
}


def sources(architecture: Architecture) -> tuple[Source, ...]:
    """Values of a head have factors of its own, in the value rows of ``kv_b_proj``; its key rows have none."""
    heads, nope, value = architecture.num_attention_heads, architecture.qk_nope_head_dim, architecture.v_head_dim

    def of_values(factors: Tensor) -> Tensor:
        by_head = factors.new_ones(heads, nope + value)
        by_head[:, nope:] = factors.view(heads, value)
        return by_head.flatten()

    return (
        Source("input_layernorm", ("self_attn.q_a_proj", "self_attn.q_proj", "self_attn.kv_a_proj_with_mqa")),
        Source("self_attn.q_a_layernorm", ("self_attn.q_b_proj",)),
        Source("self_attn.kv_b_proj", ("self_attn.o_proj",), rows=of_values),
        Source("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        Source("mlp.up_proj", ("mlp.down_proj",)),
    )


def _latent(side: Side, index: int) -> Tensor:
    attention = side.layer.self_attn
    both = attention.kv_a_proj_with_mqa(normed_hidden(side, index))
    latent: Tensor = attention.kv_a_layernorm(both[..., : attention.kv_lora_rank])
    return latent


def _compressed_query(side: Side, index: int) -> Tensor:
    attention = side.layer.self_attn
    assert attention.q_a_layernorm is not None and attention.q_a_proj is not None
    query: Tensor = attention.q_a_layernorm(attention.q_a_proj(normed_hidden(side, index)))
    return query


PROJECTIONS: Projections = (
    dict.fromkeys(("self_attn.q_a_proj", "self_attn.q_proj", "self_attn.kv_a_proj_with_mqa"), normed_hidden),
    {"self_attn.kv_b_proj": _latent, "self_attn.q_b_proj": _compressed_query},
)
