"""Configs as they might be in the wild: wrong by a number, a type, a spelling, a key too many or too few."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass
from typing import Any

from tests.tiny_checkpoint import CONFIG, OLD_GENERATION

YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
ROPES: tuple[dict[str, Any], ...] = (
    {"rope_type": "default", "rope_theta": 10000.0},
    {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0},
    {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    YARN,
    YARN | {"mscale": 0.7, "mscale_all_dim": 0.9},
    YARN | {"beta_fast": 16, "beta_slow": 2, "truncate": False, "attention_factor": 1.2},
    {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "original_max_position_embeddings": 2048,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
    {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "short_factor": [1.0, 1.1, 1.5, 2],
        "long_factor": [1.0, 2.5, 8.0, 20],
    },
)
INSIDE: dict[str, tuple[Any, ...]] = {
    "rope_type": ("default", "linear", "dynamic", "yarn", "llama3", "longrope", "su", "mrope", "proportional", "YARN"),
    "type": ("default", "linear", "yarn", "llama3", "longrope", "su"),
    "rope_theta": (1e6, 10000, 1.0, 0.5, "10000"),
    "factor": (1.0, 1, 40, 0.5, None, "4"),
    "mscale": (0, 1, 0.0, 1.0, 0.707, -1, False),
    "mscale_all_dim": (0, 1, 0.0, 1.0, 0.707, False),
    "original_max_position_embeddings": (8, 16, 64, 65, 4096, 1, 16.0, None),
    "attention_factor": (1.0, 1, 1.5, 0, None),
    "beta_fast": (32, 0, None, 16.0),
    "beta_slow": (1, 0, None, 2.0),
    "truncate": (True, False, None, 0, "yes"),
    "low_freq_factor": (1, 2.0, 4.0, 0),
    "high_freq_factor": (4, 8.0, 1.0, 0),
    "short_factor": ([1.0] * 4, [1, 1, 1, 1], [1.0] * 3, [1.0, 1.0, 1.0, "1"], [1.0, 2.5, 8.0, 20], 1.0),
    "long_factor": ([1.0] * 4, [2.0] * 5, [0.0] * 4, []),
    "partial_rotary_factor": (1.0, 1, 0.5),
    "mrope_section": ([1, 1, 2],),
    "full_attention": ({"rope_type": "default", "rope_theta": 10000.0},),
}
BESIDE: dict[str, tuple[Any, ...]] = {
    "rope_theta": (5.0, 10000, 1e6, None),
    "original_max_position_embeddings": (8, 32, 4096, None),
    "partial_rotary_factor": (1.0, 0.5, None),
    "hidden_act": ("silu", "swish", "gelu", "relu", "SiLU", None),
    "attention_bias": (True, False, None, "false", 0),
    "mlp_bias": (True, False),
    "tie_word_embeddings": (True, False, None, 1, "true"),
    "num_key_value_heads": (1, 3, 4, None),
    "q_lora_rank": (None, 20, 1536, 0),
    "head_dim": (8, 16, 24, None),
    "qk_head_dim": (24, 8),
    "rope_interleave": (True, False, None, 1),
    "num_hidden_layers": (0, 1, 2, 4, 3.0),
    "rms_norm_eps": (1e-5, 1, 0, "1e-6"),
    "attention_dropout": (0.0, 0.1, 1, "0"),
    "initializer_range": (0.02, None, "0.02"),
    "use_cache": (True, False, None),
    "dtype": ("float32", "bfloat16", "float8_e4m3fn", "torch.bfloat16", "auto", None, "int8"),
    "torch_dtype": ("float16", "half", "bf16", None),
    "sliding_window": (None, 8, 64, 4096, 0),
    "layer_types": (None, ["full_attention"] * 3, ["sliding_attention"] * 3, ["full_attention"] * 2, "full_attention"),
    "attention_chunk_size": (None, 8),
    "is_causal": (True, False),
    "is_encoder_decoder": (False, True),
    "is_decoder": (True, False),
    "per_layer_config": ({"1": {"intermediate_size": 40}}, None),
    "kv_sharing_modes": (["reuse"] * 3,),
    "text_config": ({"model_type": "youtu"},),
    "language_config": ({"model_type": "youtu", "hidden_size": 8},),
    "transformers_weights": ("other.safetensors", None),
    "configuration_files": (["config.4.0.0.json"],),
    "_attn_implementation": ("eager", "flash_attention_2", "nonsense"),
    "attn_implementation": ("eager", "flash_attention_2"),
    "n_routed_experts": (8, None),
    "moe_intermediate_size": (32,),
    "first_k_dense_replace": (1,),
    "num_nextn_predict_layers": (1,),
    "routed_scaling_factor": (2.5,),
    "auto_map": ({"AutoModelForCausalLM": "modeling_youtu.YoutuForCausalLM"},),
    "architectures": (["LlamaForCausalLM"], None, "YoutuForCausalLM", []),
    "model_type": ("youtu", "youtu_llm", "deepseek_v3", None),
    "transformers_version": ("4.56.0", 4),
    "output_hidden_states": (True,),
    "output_attentions": (True,),
    "return_dict": (True, None),
    "pretraining_tp": (1,),
    "unsloth_version": ("2026.1",),
    "id2label": ({"0": "a", "1": "b"},),
    "eos_token_id": ([2, 3], 2, None, [], -1, 131, "2", [2, None]),
    "bos_token_id": (1, None, -1, 1.0),
    "pad_token_id": (0, None, 5, -1, 131),
}
ANYTHING: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 1.0, 0.5, -0.5, 48.0, 1e40, 2**31, 10**400, float("nan"), float("inf")),
    *("", "4", "silu", "none", [], [1], {}, {"a": 1}, [[]]),
)


@dataclass(frozen=True)
class Mutated:
    """``keys``: what was changed, as a path of keys; a whole object is one, too."""

    config: dict[str, Any]
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.keys)} in {json.dumps(self.config)}"


def mutated(seed: int) -> Mutated:
    """One of endlessly many; the same for the same seed."""
    chance = random.Random(seed)
    config = copy.deepcopy(chance.choice((CONFIG, OLD_GENERATION)))
    keys: list[str] = []
    if chance.random() < 0.6:
        keys += _another_rope(config, chance)
    for _ in range(chance.choice((0, 1, 1, 2)) if keys else chance.choice((1, 1, 2, 3))):
        keys.append(_one_change(config, chance))
    return Mutated(json.loads(json.dumps(config)), tuple(keys))


def _another_rope(config: dict[str, Any], chance: random.Random) -> list[str]:
    place = chance.choice(("rope_parameters", "rope_parameters", "rope_scaling"))
    rope = copy.deepcopy(chance.choice(ROPES))
    if place == "rope_scaling" and chance.random() < 0.5:
        rope["type"] = rope.pop("rope_type")
    config[place] = rope
    keys = [place]
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        keys.append(f"{place}.{_change(rope, INSIDE, chance)}")
    return keys


def _one_change(config: dict[str, Any], chance: random.Random) -> str:
    return _change(config, BESIDE, chance)


def _change(fields: dict[str, Any], usual: dict[str, tuple[Any, ...]], chance: random.Random) -> str:
    """Take away a key, put something else in its place, or add one; the key."""
    kind = chance.random()
    key = chance.choice(sorted(fields)) if kind < 0.45 else chance.choice(sorted(usual))
    value = fields.get(key)
    if kind < 0.12:
        del fields[key]
    elif kind < 0.25:
        fields[key] = chance.choice(ANYTHING)
    elif kind < 0.45 and type(value) in (int, float):
        fields[key] = chance.choice((value * 2, value + 1, value // 2, -value, float(value), str(value), [value]))
    else:
        fields[key] = chance.choice(usual.get(key, ANYTHING))
    return key
