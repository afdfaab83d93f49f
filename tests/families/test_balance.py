"""Factors between inputs and weights change no prediction, and even out what is rounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from tests.exported import export_tiny  # noqa: E402
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint  # noqa: E402
from tests.verify.changed_bundle import stored  # noqa: E402
from youtu_onnx.core.bundle import names  # noqa: E402
from youtu_onnx.core.cache import CacheLayout  # noqa: E402
from youtu_onnx.core.recipe import Recipe  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.referenced import reference_of  # noqa: E402
from youtu_onnx.graphs.stored import StoredGraph  # noqa: E402
from youtu_onnx.verify.weights import WeightReport, compare_weights  # noqa: E402

LAYER = "model.layers.1."
OUTLIERS = (3, 17)


def with_outliers(folder: Path, variant: str = "default") -> Checkpoint:
    """A model whose hidden states have two channels thirty times as large as the others, and whose MLP has another."""
    config = CONFIG | VARIANTS[variant]
    tensors = random_tensors(config)
    tensors["model.embed_tokens.weight"][:, OUTLIERS] *= 30
    tensors[f"{LAYER}mlp.up_proj.weight"][5] *= 30
    return Checkpoint.open(write_checkpoint(folder, config, tensors))


@pytest.mark.parametrize("variant", ["default", "no q_lora", "attention bias"])
def test_transformers_predicts_the_same_with_balanced_weights(tmp_path: Path, variant: str) -> None:
    checkpoint = with_outliers(tmp_path / "one", variant)
    reference, ids = reference_of(checkpoint.family), [list(range(5, 60))]
    balanced = reference.balanced(checkpoint)
    norm = f"{LAYER}input_layernorm.weight"
    assert not balanced.tensor(norm).equal(checkpoint.tensor(norm).float())
    [wanted], [found] = reference.logits(checkpoint, ids), reference.logits(checkpoint, ids, weights=balanced)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_large_channels_are_divided_and_their_columns_multiplied(tmp_path: Path) -> None:
    checkpoint = with_outliers(tmp_path / "one")
    balanced = reference_of(checkpoint.family).balanced(checkpoint)
    for source, readers in (
        ("input_layernorm", ("self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa")),
        ("post_attention_layernorm", ("mlp.gate_proj",)),
    ):
        name = f"{LAYER}{source}.weight"
        divided = checkpoint.tensor(name).float() / balanced.tensor(name)
        assert divided[list(OUTLIERS)].min() > 2 * divided.median()
        for reader in readers:
            columns = balanced.tensor(f"{LAYER}{reader}.weight") / checkpoint.tensor(f"{LAYER}{reader}.weight").float()
            torch.testing.assert_close(columns, divided.expand_as(columns), rtol=1e-4, atol=0)
    up, down = f"{LAYER}mlp.up_proj.weight", f"{LAYER}mlp.down_proj.weight"
    rows = (checkpoint.tensor(up).float() * divided / balanced.tensor(up)).median(1).values
    columns = (balanced.tensor(down) / checkpoint.tensor(down).float()).median(0).values
    torch.testing.assert_close(rows, columns, rtol=1e-4, atol=0)
    assert rows[5] > 2 * rows.median()


def test_the_same_checkpoint_has_the_same_factors_always(tmp_path: Path) -> None:
    checkpoint, name = with_outliers(tmp_path / "one"), f"{LAYER}mlp.down_proj.weight"
    once, again = (reference_of(checkpoint.family).balanced(checkpoint).tensor(name) for _ in range(2))
    assert once.equal(again)


def test_what_is_zero_has_no_factor(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    tensors[f"{LAYER}input_layernorm.weight"][::3] = 0
    tensors[f"{LAYER}mlp.up_proj.weight"][:] = 0
    tensors[f"{LAYER}mlp.gate_proj.weight"][:, 2] = 0
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "one", CONFIG, tensors))
    balanced = reference_of(checkpoint.family).balanced(checkpoint)
    assert all(torch.isfinite(balanced.tensor(name)).all() for name in checkpoint.tensors)
    assert (balanced.tensor(f"{LAYER}input_layernorm.weight")[::3] == 0).all()


def report(folder: Path, checkpoint: Checkpoint, cache: CacheLayout) -> WeightReport:
    graph = StoredGraph(onnx.load(folder / names.MODEL, load_external_data=False).graph, folder)
    twin = reference_of(checkpoint.family).twin(graph, cache, checkpoint)
    return compare_weights(twin.comparisons(), checkpoint.tensors, graph.unread, lambda _: None)


@pytest.mark.parametrize("cache", ["latent", "latent-int8"])
def test_an_int8_bundle_has_them_and_verification_sees_through(tmp_path: Path, cache: str) -> None:
    checkpoint = with_outliers(tmp_path / "one")
    folder = tmp_path / "bundle"
    manifest = export_tiny(checkpoint.path, folder, Recipe("int8", 32), form=cache)
    assert not report(folder, checkpoint, manifest.cache).faults
    norm = stored(folder, f"{LAYER}input_layernorm.weight")
    assert not np.allclose(norm, checkpoint.tensor(f"{LAYER}input_layernorm.weight").float().numpy(), rtol=0.1)
    norm[7] *= 1.1
    norm.flush()
    assert any(f"{LAYER}input_layernorm.weight: row 7" in fault for fault in report(folder, checkpoint, manifest.cache).faults)
