"""Adapters of youtu-nano, made by PEFT, and a bundle that has them beside its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.adapters import EVERY, make_adapter
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.families.adapters.choice import AdapterChoice
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.publish.several import export_to

NANO = BUILT_IN["youtu-nano"]
MODULES: dict[str, list[str]] = {"shy": ["q_b_proj", "o_proj"], "loud": EVERY}


def nano_adapter(folder: Path, name: str, seed: int = 0, size: float = 1.5, **options: Any) -> Any:
    """Written to ``folder/name``; the PEFT model that has it."""
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    chosen = {"target_modules": MODULES.get(name, EVERY), "r": 4, "lora_alpha": 8} | options
    return make_adapter(folder / name, config, load_file(str(NANO / "model.safetensors")), seed=seed, size=size, **chosen)


def hot_bundle(folder: Path, precision: str = "fp32", adapters: tuple[str, ...] = ("shy", "loud"), **options: Any) -> Path:
    """Exported to ``folder/bundle``, with adapters that are in ``folder`` already."""
    choice = AdapterChoice.parse([str(folder / name) for name in adapters], "hot")
    export_to("youtu-nano", folder / "bundle", ["cpu"], ExportOptions(precision, adapters=choice, **options))  # type: ignore[arg-type]
    return folder / "bundle"


def greedy(model: Any, prompt: list[int], count: int) -> list[int]:
    """PEFT's own continuation."""
    ids = torch.tensor([prompt])
    made = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False
    )
    return made[0, len(prompt) :].tolist()
