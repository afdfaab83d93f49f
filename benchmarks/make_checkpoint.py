"""Write a random-weight checkpoint of the real Youtu-LLM-2B shape: what full-size measurements run on.

    python -m benchmarks.make_checkpoint /path/of/youtu-2b-random [--layers 32] [--seed 0]

1.96 billion bf16 parameters, 3.9 GB, in shards of about 1 GB. Weights are normal with transformers' own initial
deviation, so activations and logits have sensible sizes. The tokenizer is youtu-nano's: its ids are valid ones here too.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.shapes import YOUTU_LLM_2B
from youtu_onnx.architecture import Architecture

SHARD = 10**9
NANO = Path(__file__).parent.parent / "youtu_onnx" / "models" / "youtu_nano"


def make_checkpoint(folder: Path, architecture: Architecture, seed: int = 0) -> None:
    """Write config, tokenizer and sharded bf16 weights; one shard is in memory at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "youtu", "architectures": ["YoutuForCausalLM"], "dtype": "bfloat16"} | architecture.to_hf_config()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(NANO / name, folder / name)
    generator = torch.Generator().manual_seed(seed)
    deviation = 2.0 / (5.0 * architecture.hidden_size) ** 0.5
    shards: list[dict[str, torch.Tensor]] = [{}]
    index: dict[str, str] = {}
    size = 0
    for name, shape in architecture.tensor_shapes().items():
        if size > SHARD:
            _save(folder, shards, index)
            shards.append({})
            size = 0
        tensor = torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * deviation
        shards[-1][name] = tensor.to(torch.bfloat16)
        size += shards[-1][name].nbytes
    _save(folder, shards, index)
    total = 2 * architecture.parameters
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2) + "\n", encoding="utf-8")


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
    options = parser.parse_args()
    make_checkpoint(options.folder, replace(YOUTU_LLM_2B, num_hidden_layers=options.layers), options.seed)
