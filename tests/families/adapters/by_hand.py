"""A small LoRA written without PEFT, for tests of what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "tencent/Youtu-LLM-2B",
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["o_proj"],
    "rank_pattern": {},
    "alpha_pattern": {},
    "use_rslora": False,
    "use_dora": False,
}
O_PROJ = "base_model.model.model.layers.0.self_attn.o_proj"


def tensors() -> dict[str, torch.Tensor]:
    """Of tests.tiny_checkpoint.CONFIG's first o_proj, ``[48,36]``."""
    generator = torch.Generator().manual_seed(0)
    return {
        f"{O_PROJ}.lora_A.weight": torch.randn(4, 36, generator=generator),
        f"{O_PROJ}.lora_B.weight": torch.randn(48, 4, generator=generator),
    }


def write(folder: Path, changed: dict[str, torch.Tensor | None] | None = None, **fields: Any) -> Path:
    """With changed tensors, of which None takes one out, and changed fields."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | fields), encoding="utf-8")
    kept = {name: tensor for name, tensor in (tensors() | (changed or {})).items() if tensor is not None}
    save_file(kept, str(folder / "adapter_model.safetensors"))
    return folder
