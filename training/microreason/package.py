"""A trained model as a Hugging Face folder: config.json, model.safetensors in bf16, and the tokenizer."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from training.common import tokenizer as common
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.families.checkpoint import Checkpoint

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


def load(model: str | Path) -> tuple[MicroReasonForCausalLM, Tokenizer]:
    """The model in float32, whatever its files hold, int4 of compressed-tensors too, and its tokenizer.

    Args:
        model: a folder, or ``microreason``, the one that comes with this package.
    """
    folder = BUILT_IN.get(str(model), Path(model))
    loaded = MicroReasonForCausalLM(MicroReasonConfig.from_dict(_config(folder)))
    # Gates of a dense model are in no export's files, and nothing reads them.
    weights = loaded.state_dict() | unpacked(folder) if is_rounded(folder) else load_file(folder / "model.safetensors")
    loaded.load_state_dict({name: w.float() for name, w in weights.items()})
    return loaded.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


def is_rounded(model: str | Path) -> bool:
    """Whether its weights are integers already."""
    return "quantization_config" in _config(BUILT_IN.get(str(model), Path(model)))


def unpacked(folder: Path) -> dict[str, Tensor]:
    """The numbers that integers stand for, as an export reads them."""
    checkpoint = Checkpoint.open(folder)
    return {name: checkpoint.tensor(name) for name in checkpoint.tensors}


def _config(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return record
