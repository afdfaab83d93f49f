"""Adapters beside the weights: one graph computes what PEFT computes with each of them, and the model without any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters import EVERY, PLAIN, make_adapter
from tests.exported import Graph, export_tiny, reference, reference_logits
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.runtimes.ort.adapter_files import read_values

IDS = np.array([[1, 5, 99, 7, 23, 64, 101, 3, 12, 88, 2, 17]])


class AdaptedGraph(Graph):
    """A graph whose steps are given an adapter's values, as arrays."""

    def logits(self, values: dict[str, np.ndarray], ids: np.ndarray = IDS) -> np.ndarray:
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(ids.shape[1])[None]}
        feeds |= {t.past: array for t, array in zip(self.cache.tensors, self.empty(1), strict=True)}
        return self.session.run(["logits"], feeds | values)[0].astype(np.float32)


def bundled(folder: Path, manifest: Manifest) -> Bundle:
    """As far as adapters are concerned."""
    return Bundle(folder, manifest)


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "every matrix": ("default", "latent", {"target_modules": [*EVERY, "lm_head"], "r": 4, "lora_alpha": 12}),
    "half-split rope": ("half-split rope", "latent", {"target_modules": EVERY, "r": 4, "use_rslora": True}),
    "ranks of their own": ("default", "latent", {"target_modules": EVERY, "r": 2, "rank_pattern": {"q_a_proj": 5, "up_proj": 3}}),
    "one of two fused": ("default", "latent", {"target_modules": ["kv_a_proj_with_mqa", "up_proj"], "r": 3}),
    "no low-rank query": ("no q_lora", "latent", {"target_modules": ["q_proj", "kv_a_proj_with_mqa"], "r": 4}),
    "expanded cache": ("default", "expanded", {"target_modules": EVERY, "r": 4}),
    "biases": ("attention bias", "latent", {"target_modules": EVERY, "r": 4}),
    "head of its own": ("untied", "latent", {"target_modules": ["lm_head"], "r": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_pefts_model(case: str, tmp_path: Path) -> None:
    variant, form, options = CASES[case]
    config = CONFIG | VARIANTS[variant]
    tensors = random_tensors(config)
    model = make_adapter(tmp_path / "adapter", config, tensors, **options)
    manifest = export_tiny(
        write_checkpoint(tmp_path / "base", config, tensors), tmp_path / "bundle", Recipe("fp32"), form=form, adaptable=True
    )
    graph = AdaptedGraph(tmp_path / "bundle", manifest)
    without = graph.logits({})
    assert np.abs(without - reference_logits(reference(config, tensors), IDS)).max() < 2e-4
    values = read_values(bundled(tmp_path / "bundle", manifest), tmp_path / "adapter")
    found, wanted = graph.logits(values), reference_logits(model, IDS)
    both = [
        AdaptedGraph(tmp_path / "bundle", manifest, many=many).logits(values) for many in ((1, 1000) if form == "latent" else ())
    ]
    assert all(np.abs(one - wanted).max() < 2e-4 for one in both), "absorbed as expanded"
    assert np.abs(wanted - without).max() > 0.05, "the adapter changes nothing"
    assert np.abs(found - wanted).max() < 2e-4


@pytest.mark.parametrize(("form", "modules"), [("latent", EVERY), ("latent-int8", PLAIN)])
def test_factors_that_were_moved_into_the_weights_are_the_adapters_too(form: str, modules: list[str], tmp_path: Path) -> None:
    """Integer heads move scales into the query, and an int8 cache moves sizes between the parts of a row. What remains is what
    rounding makes, with the adapter as without."""
    tensors = random_tensors(CONFIG)
    model = make_adapter(tmp_path / "adapter", CONFIG, tensors, r=4, target_modules=modules)
    manifest = export_tiny(
        write_checkpoint(tmp_path / "base", CONFIG, tensors), tmp_path / "bundle", Recipe("int8", 16), form=form, adaptable=True
    )
    graph = AdaptedGraph(tmp_path / "bundle", manifest)
    table = json.loads((tmp_path / "bundle" / names.ADAPTER_INPUTS).read_text(encoding="utf-8"))
    assert "model.layers.0.self_attn.q_b_proj" in table["matrices"]
    base, wanted = reference_logits(reference(CONFIG, tensors), IDS), reference_logits(model, IDS)
    rounding = np.abs(graph.logits({}) - base).mean()
    found = np.abs(graph.logits(read_values(bundled(tmp_path / "bundle", manifest), tmp_path / "adapter")) - wanted).mean()
    assert found < 2 * rounding
    assert np.abs(wanted - base).mean() > 10 * rounding
