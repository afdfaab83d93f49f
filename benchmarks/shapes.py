"""Shapes that measurements run at."""

from __future__ import annotations

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.families.known import architecture_of
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.rope import Rope

YOUTU_LLM_2B = Architecture(
    vocab_size=128256,
    hidden_size=2048,
    intermediate_size=6144,
    num_hidden_layers=32,
    num_attention_heads=16,
    kv_lora_rank=512,
    q_lora_rank=1536,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    max_position_embeddings=131072,
    rope=Rope(rope_theta=1.6e6),
    bos_token_id=128000,
    eos_token_ids=(128001,),
    pad_token_id=128001,
)
"""tencent/Youtu-LLM-2B: 1,961,560,064 parameters."""


def youtu_shape(manifest: Manifest) -> Architecture:
    """The numbers of a bundle whose model is a Youtu-LLM."""
    found = architecture_of(manifest.model)
    assert isinstance(found, Architecture), f"{manifest.source.model} is of the family {manifest.model.family}"
    return found
