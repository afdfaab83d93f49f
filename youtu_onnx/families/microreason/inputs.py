"""Which matrices of a layer read the same input, and what makes it."""

from __future__ import annotations

from youtu_onnx.families.drifted_moments import Projections, normed_hidden
from youtu_onnx.families.rescaled import Source
from youtu_onnx.families.second_moments import SameInput

GATE = "self_attn.gate_proj"
"""A row of floats beside the matrices that read a layer's normed input."""
QKV = tuple(f"self_attn.{name}_proj" for name in "qkv")
GATE_UP = ("mlp.gate_proj", "mlp.up_proj")
SAME_INPUT: SameInput = {"self_attn.k_proj": QKV[:1], "self_attn.v_proj": QKV[:1], "mlp.up_proj": GATE_UP[:1]}
SOURCES = (
    Source("input_layernorm", QKV, beside=(GATE,)),
    Source("self_attn.v_proj", ("self_attn.o_proj",)),
    Source("post_attention_layernorm", GATE_UP),
    Source("mlp.up_proj", ("mlp.down_proj",)),
)
PROJECTIONS: Projections = (dict.fromkeys(QKV, normed_hidden),)
