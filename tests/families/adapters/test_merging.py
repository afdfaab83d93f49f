"""An adapter merged at export computes what PEFT computes with it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.adapters import EVERY, make_adapter
from tests.exported import Graph, export_tiny, reference_logits
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.families.adapters.adapter import Adapter
from youtu_onnx.families.adapters.choice import NamedAdapter
from youtu_onnx.families.adapters.merging import open_merged
from youtu_onnx.families.checkpoint import Checkpoint

IDS = np.array([[1, 5, 99, 7, 23, 64, 101, 3, 12, 88, 2, 17]])


def exported_logits(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], adapter: Path) -> np.ndarray:
    checkpoint = write_checkpoint(folder / "base", config, tensors)
    manifest = export_tiny(checkpoint, folder / "bundle", Recipe("fp32"), adapter=NamedAdapter("one", adapter))
    assert manifest.source.adapter is not None and manifest.source.adapter.name == "one"
    graph = Graph(folder / "bundle", manifest)
    return graph.step(IDS, graph.empty(1))[0]


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "every matrix": ("default", {"target_modules": EVERY, "r": 4, "lora_alpha": 12}),
    "rslora": ("default", {"target_modules": EVERY, "r": 4, "lora_alpha": 6, "use_rslora": True}),
    "patterns": (
        "default",
        {
            "target_modules": EVERY,
            "r": 4,
            "lora_alpha": 8,
            "rank_pattern": {"o_proj": 7, "layers.1.self_attn.q_b_proj": 1, r".*\.2\.mlp\.(up|gate)_proj": 3},
            "alpha_pattern": {"o_proj": 1, "^model.layers.0.mlp.down_proj": 30},
        },
    ),
    "one layer": ("default", {"target_modules": ["q_a_proj", "kv_b_proj"], "layers_to_transform": [1], "r": 2}),
    "dora": ("default", {"target_modules": EVERY, "r": 4, "use_dora": True}),
    "dora with rslora": ("default", {"target_modules": ["kv_b_proj", "o_proj"], "r": 4, "use_dora": True, "use_rslora": True}),
    "no low-rank query": ("no q_lora", {"target_modules": ["q_proj", "kv_a_proj_with_mqa", "kv_b_proj"], "r": 4}),
    "trained biases": ("attention bias", {"target_modules": EVERY, "r": 4, "bias": "lora_only"}),
    "head of its own": ("untied", {"target_modules": ["lm_head", "o_proj"], "r": 4}),
    "embedding of its own": ("untied", {"target_modules": ["embed_tokens", "o_proj"], "r": 4}),
    "dora of the head": ("untied", {"target_modules": ["lm_head"], "r": 4, "use_dora": True}),
    "whole modules": ("untied", {"target_modules": ["o_proj"], "r": 4, "modules_to_save": ["lm_head", "embed_tokens", "norm"]}),
    "larger rank than matrix": ("default", {"target_modules": ["q_b_proj"], "r": 64, "lora_alpha": 64}),
}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_pefts_merged_model(case: str, tmp_path: Path) -> None:
    variant, options = CASES[case]
    config = CONFIG | VARIANTS[variant]
    tensors = random_tensors(config)
    model = make_adapter(tmp_path / "adapter", config, tensors, **options)
    unmerged = reference_logits(model, IDS)
    with model.disable_adapter():
        assert np.abs(reference_logits(model, IDS) - unmerged).max() > 0.05, "the adapter changes nothing"
    merged = reference_logits(model.merge_and_unload(), IDS)
    found = exported_logits(tmp_path, config, tensors, tmp_path / "adapter")
    assert np.abs(found - merged).max() < 2e-4
    assert np.abs(found - unmerged).max() < 2e-4, "merged and unmerged are the same to PEFT"


TIED: dict[str, dict[str, Any]] = {
    "embedding": {"target_modules": ["embed_tokens", "o_proj"]},
    "head": {"target_modules": ["lm_head", "o_proj"]},
    "whole embedding": {"target_modules": ["o_proj"], "modules_to_save": ["embed_tokens"]},
    "whole head": {"target_modules": ["o_proj"], "modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("case", TIED)
def test_an_adapter_on_one_of_two_tied_matrices_parts_them(case: str, tmp_path: Path) -> None:
    """As in training: PEFT's own merge would change the other one as well, and warns of it."""
    tensors = random_tensors(CONFIG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_adapter(tmp_path / "adapter", CONFIG, tensors, r=4, **TIED[case])
    wanted = reference_logits(model, IDS)
    found = exported_logits(tmp_path, CONFIG, tensors, tmp_path / "adapter")
    assert np.abs(found - wanted).max() < 2e-4
    checkpoint = open_merged(tmp_path / "base", NamedAdapter("one", tmp_path / "adapter"))
    assert not checkpoint.architecture.tie_word_embeddings
    assert "two matrices" in checkpoint.remarks[-1]


@pytest.mark.parametrize(
    "options", [{"target_modules": ["embed_tokens"]}, {"target_modules": ["o_proj"], "modules_to_save": ["embed_tokens"]}]
)
def test_tied_matrices_that_were_trained_as_one_stay_tied(options: dict[str, Any], tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_adapter(tmp_path / "adapter", CONFIG, tensors, r=4, ensure_weight_tying=True, **options)
    wanted = reference_logits(model, IDS)
    found = exported_logits(tmp_path, CONFIG, tensors, tmp_path / "adapter")
    assert np.abs(found - wanted).max() < 2e-4
    assert open_merged(tmp_path / "base", NamedAdapter("one", tmp_path / "adapter")).architecture.tie_word_embeddings


def test_rows_are_those_of_the_whole_tensor(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG, torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_adapter(tmp_path / "adapter", CONFIG, tensors, r=4, target_modules=["embed_tokens", "o_proj"])
    write_checkpoint(tmp_path / "base", CONFIG, tensors)
    merged = open_merged(tmp_path / "base", NamedAdapter("one", tmp_path / "adapter"))
    for name in ("model.embed_tokens.weight", "model.layers.1.self_attn.o_proj.weight"):
        whole = merged.tensor(name)
        assert whole.dtype == torch.float32
        torch.testing.assert_close(merged.rows(name, 5, 9), whole[5:9], rtol=1e-6, atol=1e-7)
    untouched = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(merged.tensor(untouched), tensors[untouched]), "in its stored dtype"


def test_an_adapter_is_known_by_its_folder_and_its_weights(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    make_adapter(tmp_path / "support-bot", CONFIG, tensors, r=4, target_modules=["o_proj"])
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "base", CONFIG, tensors))
    opened = Adapter.open(tmp_path / "support-bot", checkpoint.architecture)
    assert opened.name == "support-bot" and len(opened.sha256) == 64
    assert opened.modules["model.layers.0.self_attn.o_proj"].rank == 4
