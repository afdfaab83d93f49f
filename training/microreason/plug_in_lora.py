"""Low-rank factors beside frozen matrices, in PEFT's names and files."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from .model import MicroReasonForCausalLM

MODULES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
"""What has factors: all that can have them beside the weights of a bundle. The gates of attention, which share a name with a
matrix of the MLP, can't, hence the longer names."""
PREFIX = "base_model.model."


class LoraLinear(nn.Module):
    """`x·Wᵀ + (alpha / r)·(x·Aᵀ)·Bᵀ` with W frozen, A [r, K] random and B [N, r] zero: at first the base itself."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, device=base.weight.device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))
        nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x) + self.scale * F.linear(F.linear(x, self.lora_A), self.lora_B)
        return out


def attach(model: MicroReasonForCausalLM, rank: int, alpha: float) -> dict[str, LoraLinear]:
    """Freezes the model and puts factors beside its matrices, in place; the new modules by the names of the old."""
    model.requires_grad_(False)
    found = {name: one for name, one in model.named_modules() if name.endswith(MODULES) and isinstance(one, nn.Linear)}
    added = {name: LoraLinear(one, rank, alpha) for name, one in found.items()}
    for name, one in added.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, one)
    return added


def factors(added: dict[str, LoraLinear]) -> dict[str, Tensor]:
    """All that is trained, by PEFT's names."""
    pairs = [(f"{PREFIX}{name}.lora_{kind}.weight", one) for name, one in added.items() for kind in "AB"]
    return {name: one.lora_A if name.endswith("A.weight") else one.lora_B for name, one in pairs}


def save(added: dict[str, LoraLinear], folder: Path, rank: int, alpha: float, base: str) -> None:
    """An adapter as PEFT's `save_pretrained` writes it, in bfloat16. Each file appears whole."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": list(MODULES),
        "bias": "none",
        "inference_mode": True,
    }
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".adapter-") as name:
        scratch = Path(name)
        stored = {key: one.detach().to("cpu", torch.bfloat16).contiguous() for key, one in factors(added).items()}
        save_file(stored, scratch / "adapter_model.safetensors", metadata={"format": "pt"})
        (scratch / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for file in sorted(scratch.iterdir()):
            file.chmod(0o644)
            os.replace(file, folder / file.name)
