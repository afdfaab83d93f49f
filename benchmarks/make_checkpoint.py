"""Write a random-weight checkpoint of the real Youtu-LLM-2B shape: what full-size measurements run on.

    python -m benchmarks.make_checkpoint /path/of/youtu-2b-random [--layers 32] [--seed 0] [--llama]

1.96 billion bf16 parameters, 3.9 GB, in shards of about 1 GB. Weights are normal with transformers' own initial
deviation, so activations and logits have sensible sizes. The tokenizer is youtu-nano's, whose ids are valid ones here too; all
other ids have a word each (``tok1280``), which no text becomes, so that every reply has a text.
``--llama`` writes a Llama of the same width, depth and vocabulary instead, for tools that refuse Youtu.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.shapes import YOUTU_LLM_2B
from youtu_onnx.families.youtu.architecture import Architecture

Config = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]
SHARD = 10**9
NANO = Path(__file__).parent.parent / "youtu_onnx" / "models" / "youtu_nano"


def youtu(architecture: Architecture) -> tuple[Config, Shapes]:
    config = {"model_type": "youtu", "architectures": ["YoutuForCausalLM"], "dtype": "bfloat16"} | architecture.to_hf_config()
    return config, architecture.tensor_shapes()


def llama(a: Architecture) -> tuple[Config, Shapes]:
    """A Llama as wide and deep as ``a``, with ordinary attention of ``v_head_dim`` per head."""
    width = a.num_attention_heads * a.v_head_dim
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "vocab_size": a.vocab_size,
        "hidden_size": a.hidden_size,
        "intermediate_size": a.intermediate_size,
        "num_hidden_layers": a.num_hidden_layers,
        "num_attention_heads": a.num_attention_heads,
        "num_key_value_heads": a.num_attention_heads,
        "head_dim": a.v_head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": a.rms_norm_eps,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": a.max_position_embeddings,
        "bos_token_id": a.bos_token_id,
        "eos_token_id": a.eos_token_ids[0],
        "rope_parameters": {"rope_type": "default", "rope_theta": a.rope.rope_theta},
        "rope_theta": a.rope.rope_theta,
    }
    shapes: Shapes = {"model.embed_tokens.weight": (a.vocab_size, a.hidden_size)}
    for i in range(a.num_hidden_layers):
        shapes |= {f"model.layers.{i}.self_attn.{name}_proj.weight": (width, a.hidden_size) for name in "qkv"}
        shapes |= {f"model.layers.{i}.mlp.{name}_proj.weight": (a.intermediate_size, a.hidden_size) for name in ("gate", "up")}
        shapes |= {
            f"model.layers.{i}.self_attn.o_proj.weight": (a.hidden_size, width),
            f"model.layers.{i}.mlp.down_proj.weight": (a.hidden_size, a.intermediate_size),
        }
        shapes |= {f"model.layers.{i}.{name}_layernorm.weight": (a.hidden_size,) for name in ("input", "post_attention")}
    return config, shapes | {"model.norm.weight": (a.hidden_size,)}


def make_checkpoint(folder: Path, config: Config, shapes: Shapes, seed: int = 0) -> None:
    """Write config, tokenizer and sharded bf16 weights; one shard is in memory at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(NANO / name, folder / name)
    _name_all_ids(folder / "tokenizer.json", config["vocab_size"])
    generator = torch.Generator().manual_seed(seed)
    deviation = 2.0 / (5.0 * config["hidden_size"]) ** 0.5
    shards: list[dict[str, torch.Tensor]] = [{}]
    index: dict[str, str] = {}
    size = 0
    for name, shape in shapes.items():
        if size > SHARD:
            _save(folder, shards, index)
            shards.append({})
            size = 0
        tensor = torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * deviation
        shards[-1][name] = tensor.to(torch.bfloat16)
        size += shards[-1][name].nbytes
    _save(folder, shards, index)
    total = 2 * sum(math.prod(shape) for shape in shapes.values())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2) + "\n", encoding="utf-8"
    )


def _name_all_ids(path: Path, vocab_size: int) -> None:
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    words = tokenizer["model"]["vocab"]
    taken = {*words.values(), *(token["id"] for token in tokenizer["added_tokens"])}
    words |= {f"tok{id_}": id_ for id_ in range(vocab_size) if id_ not in taken}
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _save(folder: Path, shards: list[dict[str, torch.Tensor]], index: dict[str, str]) -> None:
    file = f"model-{len(shards):05d}.safetensors"
    save_file(shards[-1], folder / file, metadata={"format": "pt"})
    index.update(dict.fromkeys(shards[-1], file))
    shards[-1].clear()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=YOUTU_LLM_2B.num_hidden_layers)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--llama", action="store_true")
    options = parser.parse_args()
    shape = replace(YOUTU_LLM_2B, num_hidden_layers=options.layers)
    make_checkpoint(options.folder, *(llama(shape) if options.llama else youtu(shape)), options.seed)
