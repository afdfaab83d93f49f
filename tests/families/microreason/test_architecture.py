"""A MicroReason ``config.json`` is read strictly, and says what training's own code says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from training.microreason.config import PRESETS, MicroReasonConfig
from training.microreason.model import MicroReasonForCausalLM
from youtu_onnx.core.errors import CheckpointError, UsageError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import target
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.known import family_of
from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.family import MICROREASON

CONFIG = MicroReasonConfig(attention_routing=True).to_dict()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_is_read_as_training_wrote_it(preset: str) -> None:
    config = PRESETS[preset]
    read = Architecture.from_config(config.to_dict())
    same = asdict(config).keys() & asdict(read).keys()
    assert {name: getattr(read, name) for name in same} == {name: getattr(config, name) for name in same}
    assert read.eos_token_ids == (config.eos_token_id,)
    assert Architecture.from_dict(json.loads(json.dumps(read.to_dict()))) == read


@pytest.mark.parametrize("routing", [True, False])
def test_the_tensors_are_those_of_training(routing: bool) -> None:
    config = MicroReasonConfig(num_hidden_layers=2, attention_routing=routing)
    read = Architecture.from_config(config.to_dict())
    theirs = {name: tuple(one.shape) for name, one in MicroReasonForCausalLM(config).state_dict().items()}
    ours = read.tensor_shapes()
    assert ours == {name: shape for name, shape in theirs.items() if name not in read.unread_tensors()}
    assert bool(read.unread_tensors()) is not routing


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head_dim": 63}, "head_dim is 63; RoPE rotates pairs"),
        ({"attention_window": 0}, "attention_window is 0; expected a positive whole number"),
        ({"attention_window": None}, "attention_window is None"),
        ({"attention_routing": "yes"}, "attention_routing is 'yes'; expected true or false"),
        ({"num_key_value_heads": 2}, "num_key_value_heads is 2; expected num_attention_heads, 6"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; expected 'silu'"),
        ({"attention_bias": True}, "attention_bias is True; expected false"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters is {'rope_type': 'yarn'}"),
        ({"rope_theta": -1}, "rope_theta is -1; expected a positive number"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0; expected a positive number"),
        ({"eos_token_id": 6144}, "eos_token_id is 6144; expected a token id below vocab_size 6144"),
        ({"sliding_window": 16}, "sliding_window is 16"),
        ({"kv_sharing_modes": {}}, "kv_sharing_modes: not read by youtu-onnx"),
    ],
)
def test_a_field_that_cant_be_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match="describes no MicroReason model") as caught:
        Architecture.from_config(CONFIG | changes)
    assert said in str(caught.value)


def test_every_fault_is_named_not_the_first_only() -> None:
    wrong = {name: value for name, value in CONFIG.items() if name != "hidden_size"} | {"head_dim": 7, "hidden_act": "relu"}
    with pytest.raises(CheckpointError) as caught:
        Architecture.from_config(wrong)
    assert all(part in str(caught.value) for part in ("hidden_size is missing", "head_dim is 7", "hidden_act is 'relu'"))


def test_the_family_is_known_by_its_model_type() -> None:
    assert family_of(CONFIG, where="config.json") is MICROREASON
    with pytest.raises(CheckpointError, match="microreason"):
        family_of(CONFIG | {"model_type": "macroreason"}, where="config.json")


def test_gates_that_are_not_in_use_may_be_in_the_file_or_not(checkpoint: Callable[[bool], Path], tmp_path: Path) -> None:
    dense = checkpoint(False)
    assert not any("self_attn.gate_proj" in name for name in Checkpoint.open(dense).tensors)
    without = {name: one for name, one in load_file(dense / "model.safetensors").items() if "self_attn.gate_proj" not in name}
    save_file(without, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((dense / "config.json").read_bytes())
    assert Checkpoint.open(tmp_path).tensors.keys() == Checkpoint.open(dense).tensors.keys()
    routed = json.loads((dense / "config.json").read_text()) | {"attention_routing": True}
    (tmp_path / "config.json").write_text(json.dumps(routed))
    with pytest.raises(CheckpointError, match=r"attention_routing true.*attention_routing false"):
        Checkpoint.open(tmp_path)


def test_rows_are_dropped_where_the_target_can_and_the_checkpoint_does() -> None:
    routed, dense = (Architecture.from_config(CONFIG | {"attention_routing": routing}) for routing in (True, False))
    forms = {name: MICROREASON.cache_form(routed, Recipe(), target(name)) for name in ("cpu", "mobile", "cuda", "dml", "webgpu")}
    assert forms == {"cpu": "routed", "mobile": "routed", "cuda": "masked", "dml": "masked", "webgpu": "masked"}
    assert MICROREASON.cache_form(dense, Recipe(), target("cpu")) == "masked"
    with pytest.raises(UsageError, match="gates are not in use"):
        MICROREASON.cache_layout(dense, "routed", "float32", None)
    with pytest.raises(UsageError, match="needs the target cpu or mobile"):
        MICROREASON.check_cache_form("routed", Recipe(), target("cuda"))
    with pytest.raises(UsageError, match="choose one of: routed, masked"):
        MICROREASON.check_cache_form("latent", Recipe(), target("cpu"))


def test_layouts_say_what_may_be_done_with_them() -> None:
    architecture = Architecture.from_config(CONFIG)
    routed = MICROREASON.cache_layout(architecture, "routed", "float32", None)
    masked = MICROREASON.cache_layout(architecture, "masked", "float32", None)
    assert not (routed.uniform or routed.rewindable or routed.prefix_shareable)
    assert masked.uniform and masked.rewindable and masked.prefix_shareable
    assert {(one.role, one.heads, one.width) for one in routed.tensors} == {("key", 6, 64), ("value", 6, 64), ("gate", 1, 1)}
    assert {(one.role, one.heads, one.width) for one in masked.tensors} == {("key", 6, 65), ("value", 6, 65)}
    assert routed.rows_by_layer([3, 3, 3, 5, 5, 5] + [1] * 36) == (3, 5, *[1] * 12)
    assert masked.rows_by_layer([4] * 28) is None
