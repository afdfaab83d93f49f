"""Tiny MicroReason checkpoints of random weights, as training's own code writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from training.common import tokenizer as common
from training.microreason.config import PRESETS, MicroReasonConfig
from training.microreason.model import MicroReasonForCausalLM
from training.microreason.package import load, save

VOCABULARY = 400
WINDOW = 8
TEXT = "A thought has steps, and each of them is checked: 12 + 30 = 42, so x = 7. 每一步都要检查。"


def config(*, routing: bool) -> MicroReasonConfig:
    """The preset ``tiny`` with three layers and a small vocabulary."""
    return replace(PRESETS["tiny"], vocab_size=VOCABULARY, num_hidden_layers=3, attention_routing=routing)


def random_weights(shape: MicroReasonConfig, seed: int = 0) -> dict[str, Tensor]:
    """Weights large enough for logits of order 1, norms around 1; gates that are shut for about half of the tokens."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, given in MicroReasonForCausalLM(shape).state_dict().items():
        noise = torch.randn(given.shape, generator=generator)
        scale = 0.15 if "embed" in name else 0.3 if given.ndim == 1 else 1.5 * given.shape[-1] ** -0.5
        weights[name] = noise * scale + ("norm" in name)
        if "self_attn.gate_proj" in name:
            weights[name] = 8 * noise * given.shape[-1] ** -0.5 if name.endswith("weight") else 0.5 * noise
    return weights


def write_tiny(folder: Path, *, routing: bool = True, seed: int = 0, **changes: int) -> Path:
    """A checkpoint in bfloat16, with a tokenizer and a chat template. ``changes``: of the configuration."""
    shape = replace(config(routing=routing), **changes)  # type: ignore[arg-type]
    save(random_weights(shape, seed), shape, common.build([TEXT] * 4, VOCABULARY), folder)
    return folder


def training_model(folder: Path) -> MicroReasonForCausalLM:
    """The same weights in training's own model, which knows nothing of the toolchain."""
    model, _ = load(folder)
    return model
