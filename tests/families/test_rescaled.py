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
from youtu_onnx.exporters.calibration import drawn  # noqa: E402
from youtu_onnx.exporters.rescaling import balanced  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.reference import Weights  # noqa: E402
from youtu_onnx.families.referenced import reference_of  # noqa: E402
from youtu_onnx.graphs.stored import StoredGraph  # noqa: E402
from youtu_onnx.verify.weights import WeightReport, compare_weights  # noqa: E402

LAYER = "model.layers.1."
OUTLIERS = (3, 17)


def even(checkpoint: Checkpoint) -> Weights:
    """As an int8 export has it."""
    ids = drawn(checkpoint.architecture.vocab_size, checkpoint.architecture.max_position_embeddings)
    return reference_of(checkpoint.family).rescaled(checkpoint, ids, balanced, diagonal=True)


def with_outliers(folder: Path, variant: str = "default") -> Checkpoint:
    """A model whose hidden states have two channels thirty times as large as the others, and whose MLP has another."""
    config = CONFIG | VARIANTS[variant]
    tensors = random_tensors(config)
    tensors["model.embed_tokens.weight"][:, OUTLIERS] *= 30
    tensors[f"{LAYER}mlp.up_proj.weight"][5] *= 30
    if (gain := f"{LAYER}self_attn.q_a_layernorm.weight") in tensors:
        tensors[gain][list(OUTLIERS)] *= 30
    values = tensors[f"{LAYER}self_attn.kv_b_proj.weight"].view(config["num_attention_heads"], -1, config["kv_lora_rank"])
    values[1, config["qk_nope_head_dim"] + 2] *= 30
    return Checkpoint.open(write_checkpoint(folder, config, tensors))


@pytest.mark.parametrize("variant", ["default", "no q_lora", "attention bias"])
def test_transformers_predicts_the_same_with_balanced_weights(tmp_path: Path, variant: str) -> None:
    checkpoint = with_outliers(tmp_path / "one", variant)
    reference, ids = reference_of(checkpoint.family), [list(range(5, 60))]
    evened = even(checkpoint)
    norm = f"{LAYER}input_layernorm.weight"
    assert not evened.tensor(norm).equal(checkpoint.tensor(norm).float())
    [wanted], [found] = reference.logits(checkpoint, ids), reference.logits(checkpoint, ids, weights=evened)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_large_channels_are_divided_and_their_columns_multiplied(tmp_path: Path) -> None:
    checkpoint = with_outliers(tmp_path / "one")
    evened = even(checkpoint)
    for source, readers in (
        ("input_layernorm", ("self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa")),
        ("self_attn.q_a_layernorm", ("self_attn.q_b_proj",)),
        ("post_attention_layernorm", ("mlp.gate_proj",)),
    ):
        name = f"{LAYER}{source}.weight"
        divided = checkpoint.tensor(name).float() / evened.tensor(name)
        assert divided[list(OUTLIERS)].min() > 2 * divided.median()
        for reader in readers:
            columns = evened.tensor(f"{LAYER}{reader}.weight") / checkpoint.tensor(f"{LAYER}{reader}.weight").float()
            torch.testing.assert_close(columns, divided.expand_as(columns), rtol=1e-4, atol=0)
    up, down = f"{LAYER}mlp.up_proj.weight", f"{LAYER}mlp.down_proj.weight"
    rows = (checkpoint.tensor(up).float() * divided / evened.tensor(up)).median(1).values
    columns = (evened.tensor(down) / checkpoint.tensor(down).float()).median(0).values
    torch.testing.assert_close(rows, columns, rtol=1e-4, atol=0)
    assert rows[5] > 2 * rows.median()
    key_values, output = f"{LAYER}self_attn.kv_b_proj.weight", f"{LAYER}self_attn.o_proj.weight"
    heads, nope, value = (CONFIG[name] for name in ("num_attention_heads", "qk_nope_head_dim", "v_head_dim"))
    of_rows = (checkpoint.tensor(key_values).float() / evened.tensor(key_values)).median(1).values.view(heads, nope + value)
    columns = (evened.tensor(output) / checkpoint.tensor(output).float()).median(0).values.view(heads, value)
    torch.testing.assert_close(of_rows[:, nope:], columns, rtol=1e-4, atol=0)
    assert (of_rows[:, :nope] == 1).all() and columns[1, 2] > 2 * columns.median()


def test_the_same_checkpoint_has_the_same_factors_always(tmp_path: Path) -> None:
    checkpoint, name = with_outliers(tmp_path / "one"), f"{LAYER}mlp.down_proj.weight"
    once, again = (even(checkpoint).tensor(name) for _ in range(2))
    assert once.equal(again)


def test_what_is_zero_has_no_factor(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    tensors[f"{LAYER}input_layernorm.weight"][::3] = 0
    tensors[f"{LAYER}mlp.up_proj.weight"][:] = 0
    tensors[f"{LAYER}mlp.gate_proj.weight"][:, 2] = 0
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "one", CONFIG, tensors))
    evened = even(checkpoint)
    assert all(torch.isfinite(evened.tensor(name)).all() for name in checkpoint.tensors)
    assert (evened.tensor(f"{LAYER}input_layernorm.weight")[::3] == 0).all()


def report(folder: Path, checkpoint: Checkpoint, cache: CacheLayout) -> WeightReport:
    graph = StoredGraph(onnx.load(folder / names.MODEL, load_external_data=False).graph, folder)
    twin = reference_of(checkpoint.family).twin(graph, cache, checkpoint, rescaled=True)
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
