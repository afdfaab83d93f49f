"""A ``config.json`` is read as transformers reads it, or refused: it never means two things to the export and to PyTorch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from transformers.models.youtu.modeling_youtu import YoutuAttention, YoutuRotaryEmbedding

from tests.tiny_checkpoint import CONFIG, OLD_GENERATION, VARIANTS, write_checkpoint
from youtu_onnx import export
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.exporters.refusals import refuse_misreadings
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.config_agreement import misreadings
from youtu_onnx.families.youtu.family import Youtu
from youtu_onnx.families.youtu.graph.rope import attention_scaling, inverse_frequencies
from youtu_onnx.families.youtu.own_config import own_config
from youtu_onnx.publish import exporting
from youtu_onnx.verify.verify import verify_parity

YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "original_max_position_embeddings": 2048,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 16,
    "short_factor": [1.0, 1.1, 1.5, 2],
    "long_factor": [1.0, 2.5, 8.0, 20],
}
READ: dict[str, dict[str, Any]] = {
    **{name: CONFIG | changes for name, changes in VARIANTS.items()},
    "old generation": OLD_GENERATION,
    "old generation, yarn": OLD_GENERATION | {"rope_scaling": {"type": "yarn", "factor": 4.0}},
    "rope_scaling beside rope_parameters": CONFIG | {"rope_scaling": {name: YARN[name] for name in YARN if name != "rope_theta"}},
    "rope_theta inside and beside": CONFIG | {"rope_theta": 5.0},
    "rope_theta beside only": CONFIG | {"rope_theta": 5.0, "rope_parameters": {"rope_type": "default"}},
    "no rope at all": {name: CONFIG[name] for name in CONFIG if name != "rope_parameters"},
    "mscale_all_dim 0": CONFIG | {"rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 0}},
    "mscale null": CONFIG | {"rope_parameters": YARN | {"mscale": None, "mscale_all_dim": 0.9}},
    "attention_factor": CONFIG | {"rope_parameters": YARN | {"attention_factor": 1.5}},
    "betas null, not truncated": CONFIG | {"rope_parameters": YARN | {"beta_fast": None, "beta_slow": 0, "truncate": False}},
    "factor null": CONFIG | {"rope_parameters": YARN | {"factor": None}},
    "trained length inside and beside": CONFIG | {"rope_parameters": YARN, "original_max_position_embeddings": 32},
    "llama3": CONFIG | {"rope_parameters": LLAMA3},
    "llama3, old generation": OLD_GENERATION | {"rope_scaling": {name: LLAMA3[name] for name in LLAMA3 if name != "rope_theta"}},
    "llama3, short before long": CONFIG | {"rope_parameters": LLAMA3 | {"low_freq_factor": 4, "high_freq_factor": 1}},
    "longrope": CONFIG | {"rope_parameters": LONGROPE},
    "longrope, trained length beside": CONFIG | {"rope_parameters": LONGROPE, "original_max_position_embeddings": 32},
    "longrope, factor": CONFIG | {"rope_parameters": LONGROPE | {"factor": 8, "mscale_all_dim": 0.5}},
    "longrope, factor below 1": CONFIG | {"rope_parameters": LONGROPE | {"factor": 0.5}},
    "longrope, attention_factor": CONFIG | {"rope_parameters": LONGROPE | {"attention_factor": 1.5}},
    "longrope, one table": CONFIG | {"rope_parameters": LONGROPE | {"short_factor": LONGROPE["long_factor"]}},
    "longrope, trained on all positions": CONFIG | {"rope_parameters": LONGROPE | {"original_max_position_embeddings": 64}},
    "fields of another type": CONFIG | {"rope_parameters": {"rope_type": "default", "factor": 3.0, "mscale_all_dim": 1.0}},
    "rope_interleave null": CONFIG | {"rope_interleave": None},
    "q_lora_rank null": CONFIG | {"q_lora_rank": None},
    "partial_rotary_factor that default ignores": CONFIG | {"partial_rotary_factor": 0.5},
    "swish": CONFIG | {"hidden_act": "swish"},
    "no ids": {name: CONFIG[name] for name in CONFIG if not name.endswith("token_id")},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "partial_rotary_factor": (
        {"partial_rotary_factor": 0.5, "rope_parameters": YARN},
        r"rope_parameters\.partial_rotary_factor: 1\.0 to youtu-onnx, 0\.5 to transformers",
    ),
    "head_dim": ({"head_dim": 16}, "head_dim: 8 to youtu-onnx, 16 to transformers"),
    "qk_head_dim": ({"qk_head_dim": 8}, "qk_head_dim: 24 to youtu-onnx, 8 to transformers"),
    "sliding_window": ({"sliding_window": 16}, "sliding_window is 16; expected null"),
    "layer_types": ({"layer_types": ["sliding_attention"] * 3}, "layer_types is .*'full_attention'"),
    "is_causal": ({"is_causal": False}, "is_causal is False"),
    "another file": ({"configuration_files": ["config.5.0.0.json"]}, "configuration_files: not read"),
    "a model within a model": ({"language": {"model_type": "youtu"}}, "language: not read by youtu-onnx, a model within"),
    "dtype": ({"dtype": "torch.bfloat16"}, "dtype is 'torch.bfloat16'; expected one of float32"),
    "infinite theta": ({"rope_parameters": {"rope_theta": 1e300}}, "rope_theta is 1e[+]300; expected a positive number"),
    "theta 1 of yarn": ({"rope_parameters": YARN | {"rope_theta": 1.0}}, "rope_parameters.rope_theta is 1.0"),
    "old name of longrope": (
        {"rope_scaling": LONGROPE | {"rope_type": "su"}},
        "rope_scaling.rope_type is 'su'; expected one of .*longrope",
    ),
    "longrope's lists": (
        {"rope_parameters": LONGROPE | {"long_factor": [1.0]}},
        "long_factor is .*; expected a list of 4 numbers",
    ),
    "longrope trained on one": ({"rope_parameters": LONGROPE | {"original_max_position_embeddings": 1}}, "at least 2"),
    "llama3 without a middle": ({"rope_parameters": LLAMA3 | {"low_freq_factor": 4.0}}, "another number than low_freq_factor"),
    "rope by layer": ({"rope_parameters": {"full_attention": YARN}}, "has an object for full_attention"),
    "mscale without a factor": (
        {"rope_parameters": LONGROPE | {"mscale_all_dim": 1.0}},
        "rope_parameters.factor is None; expected a positive number, since mscale_all_dim is given",
    ),
    "layers that differ": ({"per_layer_config": {"1": {"hidden_size": 3}}}, "per_layer_config: not read"),
    "null for a flag": ({"attention_bias": None}, "(?s)transformers makes no model.*attention_bias"),
    "no factor": ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "factor"),
}


def opened(folder: Path, config: dict[str, Any]) -> Checkpoint:
    return Checkpoint.open(write_checkpoint(folder, config))


@pytest.mark.parametrize("name", READ)
def test_what_is_read_means_the_same_to_transformers(tmp_path: Path, name: str) -> None:
    checkpoint = opened(tmp_path, READ[name])
    architecture, config = Architecture.from_config(READ[name]), own_config(checkpoint)
    assert misreadings(architecture, config) == []
    rotary, attention = YoutuRotaryEmbedding(config), YoutuAttention(config, 0)
    assert architecture.softmax_scale == pytest.approx(attention.scaling, rel=1e-12)
    assert attention_scaling(architecture) == pytest.approx(rotary.attention_scaling, rel=1e-12)
    assert (inverse_frequencies(architecture) - rotary.inv_freq).abs().max() <= 1e-7


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_is_refused_by_name(tmp_path: Path, name: str) -> None:
    changes, message = REFUSED[name]
    with pytest.raises(CheckpointError, match=message):
        refuse_misreadings(opened(tmp_path, CONFIG | changes))


def test_an_absent_rank_is_that_of_the_published_model() -> None:
    absent = {name: CONFIG[name] for name in CONFIG if name != "q_lora_rank"}
    assert Architecture.from_config(absent).q_lora_rank == 1536
    with pytest.raises(CheckpointError, match="q_lora_rank is 'many'"):
        Architecture.from_config(CONFIG | {"q_lora_rank": "many"})


def test_a_misreading_fails_verification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a field overlooked by the reader, and by the comparison with transformers, too."""
    shutil.copytree(BUILT_IN["youtu-nano"], tmp_path / "checkpoint")
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    config["rope_scaling"] = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
    (tmp_path / "checkpoint" / "config.json").write_text(json.dumps(config))
    parse = Youtu.parse

    def overlooking(self: Youtu, fields: dict[str, Any], *, where: str) -> Architecture:
        return parse(self, {name: fields[name] for name in fields if name != "rope_scaling"}, where=where)

    monkeypatch.setattr(Youtu, "parse", overlooking)
    with pytest.raises(CheckpointError, match=r"rope_parameters\.rope_type: 'default' to youtu-onnx, 'yarn' to transformers"):
        export(str(tmp_path / "checkpoint"), tmp_path / "refused", verify=False)
    monkeypatch.setattr(exporting, "refuse_misreadings", lambda _: None)
    made = export(str(tmp_path / "checkpoint"), tmp_path / "made", precision="fp32", verify=False)
    found = verify_parity(made.bundle.path, Checkpoint.open(str(tmp_path / "checkpoint")))
    assert not found.passed
    assert any(fault.startswith("model.inv_freq (of RoPE)") for fault in found.faults)
    assert any("against PyTorch" in fault for fault in found.faults)
