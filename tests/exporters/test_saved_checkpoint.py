"""``--save-checkpoint``: a bundle's 4-bit weights as a checkpoint that others load, and what it is refused for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from tests.exported import reference, reference_logits
from tests.packed_formats import gptq, packed_checkpoint, rounded
from tests.tiny_checkpoint import write_checkpoint
from youtu_onnx import export
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.exporters import saved_checkpoint
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.stored import StoredGraph
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.publish.several import export_several

NANO = "youtu-nano"
KEPT_AS_FLOATS = ("kv_b_proj", "embed_tokens")
KINDS: list[dict[str, Any]] = [
    {},
    {"symmetric": True, "cache": "expanded", "int8": ("none",)},
    {"block_size": 32, "int8": ("*.o_proj",)},
]


def saved(folder: Path, **options: Any) -> tuple[Bundle, Checkpoint]:
    export(NANO, folder / "bundle", save_checkpoint=folder / "saved", verify=False, **options)
    return Bundle.open(folder / "bundle"), Checkpoint.open(folder / "saved")


def twin_of(bundle: Bundle) -> Any:
    checkpoint = Checkpoint.open(NANO)
    return reference_of(checkpoint.family).twin(StoredGraph.open(bundle), bundle.manifest.cache, checkpoint)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Checkpoint]:
    folder = tmp_path_factory.mktemp("calibrated")
    text = folder / "text.txt"
    text.write_text("Tom has three apples and gives one away. How many are left? " * 20)
    return saved(folder, algorithm="gptq", calibration=[text], calibration_tokens=256, block_size=64, int8=("none",))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def rounded_to_nearest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Checkpoint]:
    return saved(tmp_path_factory.mktemp("rounded"), **request.param)


def carry_text(nano: Path, folder: Path) -> None:
    for file in nano.iterdir():
        if file.name.startswith(("tokenizer", "chat_template", "generation")):
            (folder / file.name).write_bytes(file.read_bytes())


def assert_same_numbers(bundle: Bundle, checkpoint: Checkpoint) -> None:
    twin, original = twin_of(bundle), Checkpoint.open(NANO)
    assert checkpoint.tensors.keys() == original.tensors.keys()
    for name in original.tensors:
        if name in checkpoint.packed:
            wanted = twin.tensor(name)
            # The query shares a factor with W_UK there, of which the twin finds out only about what it is.
            exact = 5e-3 if "q_b_proj" in name and bundle.manifest.cache.form == "latent" else 1e-6
            assert (checkpoint.tensor(name) - wanted).norm() <= exact * wanted.norm(), name
        else:
            assert torch.equal(checkpoint.tensor(name), original.tensor(name)), name


def test_packed_matrices_are_the_bundle_s(calibrated: tuple[Bundle, Checkpoint]) -> None:
    assert_same_numbers(*calibrated)
    assert len(calibrated[1].packed) == 4 * 7


def test_of_every_kind(rounded_to_nearest: tuple[Bundle, Checkpoint]) -> None:
    bundle, checkpoint = rounded_to_nearest
    assert_same_numbers(bundle, checkpoint)
    floats = {name for name in checkpoint.tensors if "proj" in name} - checkpoint.packed.keys()
    fused = [("q_a_proj", "kv_a_proj_with_mqa")]
    eight = [pattern.removeprefix("*.").removeprefix("self_attn.") for pattern in bundle.manifest.recipe.int8]
    kept = {*KEPT_AS_FLOATS, *eight, *(one for both in fused if set(both) & set(eight) for one in both)}
    assert all(any(part in name for part in kept) for name in floats)
    assert len(checkpoint.packed) >= 4 * 4


def test_all_matrices_are_packed_alike(rounded_to_nearest: tuple[Bundle, Checkpoint]) -> None:
    """As transformers and others want it that look at the first group of the config alone."""
    _, checkpoint = rounded_to_nearest
    said = checkpoint.config["quantization_config"]
    [group] = said["config_groups"].values()
    tensors = load_file(str(checkpoint.path / "model.safetensors"))
    for name in checkpoint.packed:
        stem = name.removesuffix(".weight")
        columns = checkpoint.tensors[name].shape[1]
        assert tensors[f"{stem}.weight_scale"].shape[1] * group["weights"]["group_size"] == columns
        assert (f"{stem}.weight_zero_point" in tensors) != group["weights"]["symmetric"]
    assert "lm_head" in said["ignore"]


def test_what_is_beside_the_weights_is_the_checkpoint_s(calibrated: tuple[Bundle, Checkpoint]) -> None:
    _, checkpoint = calibrated
    original = Checkpoint.open(NANO)
    assert {name: value for name, value in checkpoint.config.items() if name != "quantization_config"} == original.config
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (checkpoint.path / name).read_bytes() == (original.path / name).read_bytes()
    modes = {path.stat().st_mode for path in checkpoint.path.iterdir()}
    assert len(modes) == 1, "all may be read by whom the user lets"
    assert not list(checkpoint.path.parent.glob(".*partial*"))


def test_it_is_exported_again_with_the_same_codes(calibrated: tuple[Bundle, Checkpoint], tmp_path: Path) -> None:
    bundle, checkpoint = calibrated
    again = export(str(checkpoint.path), tmp_path / "again", verify=False).bundle
    one, other = StoredGraph.open(bundle), StoredGraph.open(again)
    name = "model.layers.2.mlp.gate_up_proj.weight"
    assert np.array_equal(one.array(f"{name}_q4"), other.array(f"{name}_q4"))
    assert np.array_equal(one.array(f"{name}_zero_points"), other.array(f"{name}_zero_points"))
    assert "quantization_config" not in json.loads((again.path / "config.json").read_text())


def test_transformers_loads_it(rounded_to_nearest: tuple[Bundle, Checkpoint]) -> None:
    pytest.importorskip("compressed_tensors")
    from transformers import AutoModelForCausalLM

    _, checkpoint = rounded_to_nearest
    model = AutoModelForCausalLM.from_pretrained(str(checkpoint.path), dtype=torch.float32).eval()
    ids = np.random.default_rng(0).integers(0, checkpoint.architecture.vocab_size, (1, 40))
    floats = {name: checkpoint.tensor(name) for name in checkpoint.tensors}
    config = {name: value for name, value in checkpoint.config.items() if name != "quantization_config"}
    wanted = reference_logits(reference(config, floats), ids)
    assert np.abs(reference_logits(model, ids) - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_rows_of_w_uk_that_are_zeros(tmp_path: Path) -> None:
    """The query's rows that meet them can't be told, and are zeros."""
    nano = Checkpoint.open(NANO)
    tensors = load_file(str(nano.path / "model.safetensors"))
    a = nano.architecture
    name = "model.layers.1.self_attn.kv_b_proj.weight"
    tensors[name].view(a.num_attention_heads, -1, a.kv_lora_rank)[2, 3:6] = 0
    folder = write_checkpoint(tmp_path / "checkpoint", dict(nano.config), tensors)
    carry_text(nano.path, folder)
    export(str(folder), tmp_path / "bundle", save_checkpoint=tmp_path / "saved", verify=False)
    made = Checkpoint.open(tmp_path / "saved")
    query = made.tensor("model.layers.1.self_attn.q_b_proj.weight").view(a.num_attention_heads, a.qk_head_dim, -1)
    zero = ~query.any(-1)
    assert zero[2, 3:6].all() and zero.sum() == 3


def test_large_ones_are_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_checkpoint, "SHARD", 1000)
    tensors = {f"t{place}": torch.arange(100 * (place + 1)).float() for place in range(4)}
    saved_checkpoint.write_shards(iter(tensors.items()), tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4000
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == sorted(set(index["weight_map"].values()))
    for name, tensor in tensors.items():
        assert torch.equal(load_file(str(tmp_path / index["weight_map"][name]))[name], tensor)


# Refused before any work


def test_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="--save-checkpoint replaces nothing"):
        saved(tmp_path, force=True)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_other_precisions(tmp_path: Path, precision: str) -> None:
    with pytest.raises(UsageError, match=f"writes int4 weights, and the precision is {precision}"):
        saved(tmp_path, precision=precision)
    assert list(tmp_path.iterdir()) == []


def test_the_bundle_s_own_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is the bundle's folder, too"):
        export(NANO, tmp_path / "one", save_checkpoint=tmp_path / "one")


def test_several_targets(tmp_path: Path) -> None:
    options = replace(ExportOptions(), save_checkpoint=tmp_path / "saved")
    with pytest.raises(UsageError, match="the weights of one target"):
        export_several(NANO, tmp_path / "bundles", ["cpu", "cuda"], options)


def test_an_export_that_fails_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise UsageError("as if verification had failed")

    monkeypatch.setattr("youtu_onnx.publish.exporting._verified", fails)
    with pytest.raises(UsageError, match="as if verification"):
        export(NANO, tmp_path / "bundle", save_checkpoint=tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose codes are kept, with nano's tokenizer."""
    nano = Checkpoint.open(NANO)
    tensors = load_file(str(nano.path / "model.safetensors"))
    made = packed_checkpoint(
        tmp_path_factory.mktemp("packed"),
        {"quant_method": "gptq", "bits": 4, "group_size": 64},
        lambda stem, weight: rounded(weight, 64),
        gptq,
        config=dict(nano.config),
        tensors=tensors,
        but=("layers.1.", "layers.2.", "layers.3."),
    )
    carry_text(nano.path, made.folder)
    return made.folder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"algorithm": "gptq", "calibration": ["TEXT"]}, "--algorithm gptq chooses codes"),
        ({"bits_per_weight": 4.8}, "--bits-per-weight chooses how matrices are stored"),
        ({"block_size": 64}, "--block-size 64 is for codes that export chooses"),
        ({"symmetric": True}, "--symmetric is for codes that export chooses"),
        ({"int8": ("lm_head", "*.o_proj")}, r"--int8 \*\.o_proj names matrices whose codes are there"),
        ({"save_checkpoint": "SAVED"}, "--save-checkpoint would write what is there"),
    ],
)
def test_choices_that_a_quantized_checkpoint_has_made(packed: Path, tmp_path: Path, options: Any, said: str) -> None:
    (tmp_path / "TEXT").write_text("text")
    named = {
        name: [tmp_path / one for one in value]
        if name == "calibration"
        else tmp_path / value
        if name == "save_checkpoint"
        else value
        for name, value in options.items()
    }
    with pytest.raises(UsageError, match=said):
        export(str(packed), tmp_path / "bundle", **named)
    assert [path.name for path in tmp_path.iterdir()] == ["TEXT"]


def test_a_quantized_checkpoint_exports_and_is_verified(packed: Path, tmp_path: Path) -> None:
    made = export(str(packed), tmp_path / "bundle")
    assert made.parity is not None and made.parity.passed
    assert made.bundle.manifest.tensors["int4 block 64"] >= 5
