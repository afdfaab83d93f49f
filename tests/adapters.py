"""LoRA adapters made by PEFT itself, with random numbers in all of their tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.exported import reference

EVERY = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""Matrices of a layer with a low-rank query."""
PLAIN = [name for name in EVERY if name != "kv_b_proj"]
"""Those that adapters beside the weights can change over a cache of bytes."""


def make_adapter(
    folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], *, seed: int = 0, size: float = 0.3, **options: Any
) -> Any:
    """Write an adapter with PEFT's ``save_pretrained``; the PEFT model that has it, unmerged. ``options``: of its LoraConfig."""
    peft = pytest.importorskip("peft", reason="adapters are made by PEFT: pip install peft")
    model = peft.get_peft_model(reference(config, tensors), peft.LoraConfig(task_type="CAUSAL_LM", **options))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_magnitude" in name:
                parameter *= 1 + 0.3 * torch.rand(parameter.shape, generator=generator)
            elif "lora_" in name:
                fan = parameter.shape[0] if "embedding_B" in name else parameter.shape[-1]
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * size * fan**-0.5)
            elif "modules_to_save" in name:
                parameter += torch.randn(parameter.shape, generator=generator) * size
    model.save_pretrained(str(folder))
    return model.eval()


def change_config(folder: Path, **fields: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def change_tensors(folder: Path, changed: dict[str, torch.Tensor | None]) -> None:
    """Tensors put into an adapter's file; None takes one out."""
    path = str(folder / "adapter_model.safetensors")
    tensors = {**load_file(path), **changed}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
