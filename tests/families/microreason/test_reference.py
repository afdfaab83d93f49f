"""The PyTorch reference against two independent witnesses: training's own model, and transformers' Qwen3."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen3Config, Qwen3ForCausalLM

from tests.families.microreason.tiny import VOCABULARY, WINDOW, training_model
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.referenced import reference_of

IDS = [np.random.default_rng(seed).integers(0, VOCABULARY, length).tolist() for seed, length in enumerate((50, 1, WINDOW + 1))]


def reference_logits(folder: Path) -> list[np.ndarray]:
    opened = Checkpoint.open(folder)
    return list(reference_of(opened.family).logits(opened, IDS))


@pytest.mark.parametrize("routing", [True, False])
def test_it_is_the_model_that_training_trains(checkpoint: Callable[[bool], Path], routing: bool) -> None:
    model = training_model(checkpoint(routing))
    for ids, found in zip(IDS, reference_logits(checkpoint(routing)), strict=True):
        with torch.no_grad():
            wanted = model(torch.tensor([ids]))[0].numpy()
        assert np.abs(found - wanted).max() < 5e-5


def test_about_half_of_the_tiny_gates_are_shut_and_it_matters(checkpoint: Callable[[bool], Path]) -> None:
    model = training_model(checkpoint(True))
    with torch.no_grad():
        gates = torch.cat([one.flatten() for one in model.model(torch.tensor([IDS[0]])).gates])
    assert 0.3 < float((gates > 0).float().mean()) < 0.7
    routed, dense = reference_logits(checkpoint(True))[0], reference_logits(checkpoint(False))[0]
    assert np.abs(routed[:WINDOW] - dense[:WINDOW]).max() < 5e-5
    assert np.abs(routed[WINDOW:] - dense[WINDOW:]).max() > 0.1


def test_without_routing_it_is_qwen3(checkpoint: Callable[[bool], Path]) -> None:
    folder = checkpoint(False)
    fields = json.loads((folder / "config.json").read_text()) | {"model_type": "qwen3"}
    model = Qwen3ForCausalLM(Qwen3Config.from_dict(fields, attn_implementation="eager")).eval()
    weights = {name: one.float() for name, one in load_file(folder / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"] and all("self_attn.gate_proj" in name for name in unexpected)
    model.tie_weights()
    for ids, found in zip(IDS, reference_logits(folder), strict=True):
        with torch.no_grad():
            assert np.abs(found - model(torch.tensor([ids])).logits[0].numpy()).max() < 5e-5


def test_what_rounding_changes_in_inputs_is_what_the_rounded_model_reads(checkpoint: Callable[[bool], Path]) -> None:
    opened = Checkpoint.open(checkpoint(True))
    reference, rounded = reference_of(opened.family), Rounded(opened)
    made: dict[str, torch.Tensor] = {}
    found = {}
    for piece in reference.drifted_moments(opened, IDS, made):
        found |= {name: one().moments for name, one in piece.items()}
        made |= {name: rounded.tensor(name) for name in piece if name in opened.tensors}
    wanted = {name: one for piece in reference.second_moments(opened, IDS, weights=rounded) for name, one in piece.items()}
    for name, moments in found.items():
        assert torch.allclose(moments, wanted[name], rtol=1e-3, atol=1e-4), name


@dataclass(frozen=True)
class Rounded:
    """Every matrix that an export rounds, but the embedding, with a sixteenth as its step."""

    opened: Checkpoint

    def tensor(self, name: str) -> torch.Tensor:
        exact = self.opened.tensor(name).float()
        kept = exact.ndim < 2 or "embed" in name or "self_attn.gate_proj" in name
        return exact if kept else (exact * 16).round() / 16

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        return self.tensor(name)[start:stop]


@pytest.mark.parametrize(
    ("field", "value"), [("head_dim", 16), ("rope_theta", 500.0), ("attention_window", 9), ("rms_norm_eps", 1e-5)]
)
def test_a_misread_field_is_named(checkpoint: Callable[[bool], Path], field: str, value: float) -> None:
    opened = Checkpoint.open(checkpoint(True))
    reference = reference_of(opened.family)
    assert reference.misreadings(opened) == []
    misread = replace(opened, architecture=replace(opened.architecture, **{field: value}))
    [said] = reference.misreadings(misread)
    assert said.startswith(f"{field}: {value!r} to youtu-onnx")


def test_moments_of_inputs_are_of_every_matrix(checkpoint: Callable[[bool], Path]) -> None:
    opened = Checkpoint.open(checkpoint(True))
    reference = reference_of(opened.family)
    found = {name: one for piece in reference.second_moments(opened, IDS) for name, one in piece.items()}
    matrices = {name for name, info in opened.tensors.items() if len(info.shape) == 2 and "self_attn.gate_proj" not in name}
    assert found.keys() == matrices | {"lm_head.weight"}
    diagonal = {name: one for piece in reference.second_moments(opened, IDS, diagonal=True) for name, one in piece.items()}
    for name, moments in found.items():
        assert torch.allclose(moments.diagonal(), diagonal[name], rtol=1e-4), name
    drifted = {name: one() for piece in reference.drifted_moments(opened, IDS, {}) for name, one in piece.items()}
    assert drifted.keys() == found.keys()
    for name, (moments, drift) in drifted.items():
        assert torch.allclose(moments, found[name], rtol=1e-4, atol=1e-5) and not drift.any(), name
    rows = list(reference.logits_in_pieces(opened, IDS, rows=7))
    assert np.abs(np.concatenate(rows) - np.concatenate(reference_logits(checkpoint(True)))).max() < 5e-5
