"""A trained model as a Hugging Face folder: config.json, model.safetensors in bf16, and the tokenizer."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from training.common import tokenizer as common

from .config import MicroReasonConfig
from .model import MicroReasonForCausalLM
from .tokenizer import MAX_LENGTH


def save(weights: dict[str, Tensor], config: MicroReasonConfig, tokenizer: Tokenizer, folder: Path) -> None:
    """Each file appears whole: it is written beside the folder and renamed into it."""
    folder.mkdir(parents=True, exist_ok=True)
    generation = {"bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id, "pad_token_id": config.eos_token_id}
    generation |= {"do_sample": False, "max_new_tokens": 512}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".microreason-") as name:
        scratch = Path(name)
        rounded = {k: w.detach().to("cpu", torch.bfloat16).contiguous() for k, w in weights.items()}
        save_file(rounded, scratch / "model.safetensors", metadata={"format": "pt"})
        record = config.to_dict() | {"dtype": "bfloat16"}
        (scratch / "config.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        (scratch / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
        common.save(tokenizer, scratch, MAX_LENGTH)
        for file in sorted(scratch.iterdir()):
            file.chmod(0o644)
            os.replace(file, folder / file.name)


def load(folder: Path) -> tuple[MicroReasonForCausalLM, Tokenizer]:
    """The model in float32, whatever the file holds, and its tokenizer."""
    config = MicroReasonConfig.from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    model = MicroReasonForCausalLM(config)
    model.load_state_dict({k: w.float() for k, w in load_file(folder / "model.safetensors").items()})
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
