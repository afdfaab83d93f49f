"""LoRA adapters on MicroReason: merged or beside the weights they compute what training's model does with W + B·A."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.families.microreason.tiny import VOCABULARY, training_model
from youtu_onnx import export
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.decoder import OrtDecoder

RANK, ALPHA = 3, 6
IDS = np.random.default_rng(5).integers(4, VOCABULARY, 30).tolist()
MODULES = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]


def write_adapter(folder: Path, weights: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """An adapter of every matrix of every layer, in PEFT's format; the weights with it."""
    generator, stored, changed = torch.Generator().manual_seed(seed), {}, dict(weights)
    for layer in range(3):
        for module in MODULES:
            name = f"model.layers.{layer}.{module}"
            rows, columns = weights[f"{name}.weight"].shape
            a = torch.randn(RANK, columns, generator=generator) * columns**-0.5
            b = torch.randn(rows, RANK, generator=generator) * 0.3
            stored |= {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
            changed[f"{name}.weight"] = weights[f"{name}.weight"] + ALPHA / RANK * (b @ a)
    folder.mkdir()
    save_file(stored, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": MODULES, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return changed


def wanted(model: torch.nn.Module, weights: dict[str, Tensor]) -> np.ndarray:
    model.load_state_dict(weights)
    with torch.no_grad():
        made: np.ndarray = model(torch.tensor([IDS]))[0, -1].numpy()
    return made


def in_a_batch(batch: BatchModel, adapter: ActiveAdapter | None) -> np.ndarray:
    """Logits of a slot, beside a chunk."""
    cache, other = batch.new_cache(), batch.new_cache()
    batch.step({}, Chunk(cache, IDS[:-1], False), adapter=adapter)
    [logits] = batch.step({2: (cache, IDS[-1])}, Chunk(other, IDS[:5], False), adapter=adapter)
    made: np.ndarray = logits
    return made


def test_beside_the_weights_and_gone_again(checkpoint: Callable[[bool], Path], tmp_path: Path) -> None:
    model = training_model(checkpoint(True))
    base = {name: one.clone() for name, one in model.state_dict().items()}
    adapted = {name: write_adapter(tmp_path / name, base, seed) for seed, name in enumerate(("roman", "rules"))}
    made = export(
        str(checkpoint(True)),
        tmp_path / "hot",
        precision="fp32",
        adapter=[f"{name}={tmp_path / name}" for name in adapted],
        adapter_mode="hot",
    )
    decoder, batch = OrtDecoder.open(Bundle.open(made.bundle.path)), BatchModel(Bundle.open(made.bundle.path), 1)
    assert decoder.adapters is not None and batch.adapters is not None
    plain = wanted(model, base)
    for name, weights in adapted.items():
        decoder.use(decoder.adapters.active(name))
        logits = decoder.prefill(IDS)
        assert np.abs(logits - wanted(model, weights)).max() < 1e-4 and np.abs(logits - plain).max() > 0.1
        assert np.abs(in_a_batch(batch, batch.adapters.active(name)) - logits).max() < 1e-4
        assert np.abs(in_a_batch(batch, None) - plain).max() < 1e-4
        decoder.use(None)
        decoder.reset()
        assert np.abs(decoder.prefill(IDS) - plain).max() < 1e-4


def test_merged(checkpoint: Callable[[bool], Path], tmp_path: Path) -> None:
    model = training_model(checkpoint(True))
    weights = write_adapter(tmp_path / "roman", {name: one.clone() for name, one in model.state_dict().items()}, 0)
    made = export(str(checkpoint(True)), tmp_path / "merged", precision="fp32", adapter=tmp_path / "roman")
    assert made.parity is not None and made.parity.passed
    logits = OrtDecoder.open(Bundle.open(made.bundle.path)).prefill(IDS)
    assert np.abs(logits - wanted(model, weights)).max() < 1e-4


def test_a_gate_is_changed_by_merging_only(checkpoint: Callable[[bool], Path], tmp_path: Path) -> None:
    folder, module = tmp_path / "gates", "self_attn.gate_proj"
    folder.mkdir()
    name = f"base_model.model.model.layers.0.{module}"
    save_file(
        {f"{name}.lora_A.weight": torch.ones(1, 64), f"{name}.lora_B.weight": torch.ones(1, 1)},
        folder / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": [module], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    made = export(str(checkpoint(True)), tmp_path / "merged", precision="fp32", adapter=folder)
    assert made.parity is not None and made.parity.passed
    with pytest.raises(YoutuOnnxError, match="gate_proj"):
        export(str(checkpoint(True)), tmp_path / "hot", precision="fp32", adapter=folder, adapter_mode="hot")
