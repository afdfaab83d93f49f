"""Tiny random checkpoints with odd sizes and V narrower than K, in both generations of ``config.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from youtu_onnx.families.youtu.architecture import Architecture

CONFIG: dict[str, Any] = {
    "model_type": "youtu",
    "architectures": ["YoutuForCausalLM"],
    "vocab_size": 131,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "kv_lora_rank": 24,
    "q_lora_rank": 20,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "dtype": "float32",
}

OLD_GENERATION = {name: value for name, value in CONFIG.items() if name not in ("rope_parameters", "dtype")} | {
    "model_type": "youtu_llm",
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "torch_dtype": "float32",
    "mlp_bias": False,
    "head_dim": 8,
    "auto_map": {"AutoModelForCausalLM": "modeling_youtu.YoutuForCausalLM"},
}

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "yarn": {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "mscale": 0.7,
            "mscale_all_dim": 0.9,
        }
    },
    "yarn, mscale_all_dim 0": {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "mscale": 1.0,
            "mscale_all_dim": 0,
        }
    },
    "llama3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "original_max_position_embeddings": 256,  # pairs of all three kinds: kept, between, divided
            "low_freq_factor": 1.0,
            "high_freq_factor": 8.0,
        }
    },
    "longrope": {
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "original_max_position_embeddings": 48,
            "short_factor": [1.0, 1.1, 1.5, 2],
            "long_factor": [1.0, 2.5, 8.0, 20],
        }
    },
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}},
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
    "no q_lora": {"q_lora_rank": None},
    "attention bias": {"attention_bias": True},
    "half-split rope": {"rope_interleave": False},
    "untied": {"tie_word_embeddings": False},
}
"""What may differ between checkpoints and changes what the model computes."""


def random_tensors(config: dict[str, Any], dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights large enough for logits of order 1 to 10, norms around 1, biases that matter."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in Architecture.from_config(config).tensor_shapes().items():
        noise = torch.randn(shape, generator=generator)
        scale = 1.0 if "embed" in name or "lm_head" in name else 0.3 if len(shape) == 1 else 1.5 * shape[-1] ** -0.5
        tensors[name] = (noise * scale + ("norm" in name)).to(dtype)
    return tensors


def write_checkpoint(
    folder: Path,
    config: dict[str, Any] | None = None,
    tensors: dict[str, torch.Tensor] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    shards: int = 1,
) -> Path:
    """A checkpoint folder without a tokenizer; ``shards`` above 1 writes an index."""
    config = CONFIG if config is None else config
    tensors = random_tensors(config, dtype) if tensors is None else tensors
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if shards == 1:
        save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return folder
    names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    placed = {name: names[i % shards] for i, name in enumerate(tensors)}
    for file in names:
        save_file({name: tensor for name, tensor in tensors.items() if placed[name] == file}, str(folder / file))
    index = {"metadata": {}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder
