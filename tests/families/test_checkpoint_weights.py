"""Weights as tools leave them: what can safely be read is read, and the rest is told in a sentence with the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.exported import Graph, export_tiny, reference, reference_logits
from tests.tiny_checkpoint import CONFIG, random_tensors, write_checkpoint
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.families.checkpoint import Checkpoint

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
UNTIED = CONFIG | {"tie_word_embeddings": False}


def refusal(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder)
    return caught.value


# Names


def body(prefix: str) -> Any:
    """``model.`` and all in it under another name; the head beside it, as its wrapper calls it."""
    outer = prefix.removesuffix("model.")
    return lambda name: outer + name if name == HEAD else prefix + name.removeprefix("model.")


NAMES = {
    "DataParallel": lambda name: f"module.{name}",
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "torch.compile of the inner model": lambda name: name.replace("model.", "model._orig_mod.", 1),
    "both": lambda name: f"module._orig_mod.{name}",
    "PEFT, merged": lambda name: f"base_model.model.{name}",
    "model twice": body("model.model."),
    "model three times": body("model.model.model."),
    "no model": body(""),
    "a class of somebody's own": body("llm.backbone.model."),
    "a language model taken out of a larger one": body("language_model.model."),
    "FSDP": lambda name: name.replace(".self_attn.", "._fsdp_wrapped_module.self_attn."),
    "activation checkpoints": lambda name: name.replace("layers.1.", "layers.1._checkpoint_wrapped_module."),
}


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("name", NAMES)
def test_names_from_around_the_model_are_left_out(tmp_path: Path, name: str, config: dict[str, Any]) -> None:
    tensors = random_tensors(config)
    checkpoint = Checkpoint.open(
        write_checkpoint(tmp_path, config, {NAMES[name](one): tensors[one] for one in tensors}, shards=2)
    )
    assert set(checkpoint.tensors) == set(tensors)
    assert all(torch.equal(checkpoint.tensor(one), tensors[one]) for one in tensors)
    [said] = checkpoint.remarks
    assert "is read as " in said


def test_own_names_are_not_remarked_on(tmp_path: Path) -> None:
    assert Checkpoint.open(write_checkpoint(tmp_path)).remarks == ()


def test_a_second_copy_under_other_names_is_refused(tmp_path: Path) -> None:
    """Which of the two is meant, nobody says."""
    tensors = random_tensors(CONFIG)
    write_checkpoint(tmp_path, CONFIG, tensors | {f"ema.{name}": tensors[name] + 1 for name in tensors})
    assert "ema.model.embed_tokens.weight is not part of this architecture" in refusal(tmp_path).message


def test_two_names_that_become_one_are_refused(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    renamed = {f"module.{name}": tensors[name] for name in tensors} | {"module.module.model.norm.weight": torch.ones(48)}
    write_checkpoint(tmp_path, CONFIG, renamed)
    said = "two tensors would be model.norm.weight without what is around the model: "
    assert f"{said}module.model.norm.weight and module.module.model.norm.weight" in refusal(tmp_path).message


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.model.layers.0.self_attn.q_b_proj.lora_A.default.weight",
        "model.layers.0.self_attn.q_b_proj.base_layer.weight",
        "base_model.model.lm_head.modules_to_save.default.weight",
        "model.layers.0.mlp.up_proj.lora_magnitude_vector",
    ],
)
def test_an_adapter_that_is_not_merged_is_called_that(tmp_path: Path, name: str) -> None:
    write_checkpoint(tmp_path, CONFIG, random_tensors(CONFIG) | {name: torch.zeros(1)})
    error = refusal(tmp_path)
    assert f"an adapter that is not merged into the weights: 1 tensors such as {name}" in error.message
    assert error.hint is not None and "merge_and_unload" in error.hint


def test_names_that_are_there_are_shown_beside_those_that_are_missing(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    renamed = {
        "model.norm.weight": "model.final_norm.weight",
        "model.layers.2.mlp.up_proj.weight": "model.layers.2.mlp.w3.weight",
    }
    write_checkpoint(tmp_path, CONFIG, {renamed.get(name, name): tensors[name] for name in tensors})
    message = refusal(tmp_path).message
    assert "model.norm.weight is missing (there is model.final_norm.weight)" in message
    assert "model.layers.2.mlp.up_proj.weight is missing (there is model.layers.2.mlp.w3.weight)" in message


# The head


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_head_that_repeats_the_embedding_in_another_dtype_is_left_out(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = random_tensors(CONFIG, torch.bfloat16)
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, CONFIG, tensors | {HEAD: tensors[EMBEDDING].to(dtype, copy=True)}))
    assert set(checkpoint.tensors) == set(tensors)


def test_a_head_alone_is_the_embedding_too(tmp_path: Path) -> None:
    """As to transformers, which ties what is there."""
    tensors = random_tensors(CONFIG)
    head = tensors.pop(EMBEDDING)
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, CONFIG, tensors | {HEAD: head}))
    assert torch.equal(checkpoint.tensor(EMBEDDING), head)
    assert checkpoint.remarks == (f"{EMBEDDING} is not there: {HEAD} is, and config.json ties the two",)


@pytest.mark.parametrize("trained", [True, False])
def test_a_head_that_differs_is_told_with_both_ways_out(tmp_path: Path, trained: bool) -> None:
    tensors = random_tensors(CONFIG)
    head = tensors[EMBEDDING] * 1.01 if trained else tensors[EMBEDDING].bfloat16()
    write_checkpoint(tmp_path, CONFIG, tensors | {HEAD: head})
    error = refusal(tmp_path)
    said = f"differs from {EMBEDDING}" if trained else f"is {EMBEDDING} (float32) rounded to bfloat16"
    assert f"{HEAD} {said}" in error.message and "tie_word_embeddings" in error.message
    assert error.hint is not None and '"tie_word_embeddings": false' in error.hint and f"remove {HEAD}" in error.hint
    (tmp_path / "config.json").write_text(json.dumps(UNTIED))
    assert torch.equal(Checkpoint.open(tmp_path).tensor(HEAD), head), "the first of the two ways"


@pytest.mark.parametrize("shape", [(131,), (), (0, 48), (130, 48)])
def test_a_head_of_another_shape_differs(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_checkpoint(tmp_path, CONFIG, random_tensors(CONFIG) | {HEAD: torch.ones(shape, dtype=torch.float16)})
    assert f"{HEAD} differs from {EMBEDDING}" in refusal(tmp_path).message


# Dtypes


def test_a_mixture_of_dtypes_is_exported_as_transformers_reads_it(tmp_path: Path) -> None:
    dtypes = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
    tensors = random_tensors(CONFIG)
    tensors = {name: one.to(dtypes[place % len(dtypes)]) for place, (name, one) in enumerate(tensors.items())}
    write_checkpoint(tmp_path / "checkpoint", CONFIG, tensors)
    graph = Graph(tmp_path / "out", export_tiny(tmp_path / "checkpoint", tmp_path / "out", Recipe("fp32")))
    ids = np.random.default_rng(0).integers(3, 131, (1, 12))
    assert np.abs(graph.step(ids, graph.empty(1))[0] - reference_logits(reference(CONFIG, tensors), ids)).max() <= 1e-3


def test_float64_beyond_float32_is_not_finite(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG, torch.float64)
    tensors["model.norm.weight"][5] = 1e300
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, CONFIG, tensors))
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight in .* holds 1 NaN or infinite value"):
        checkpoint.tensor("model.norm.weight")


# Quantized


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("quantization_config", {"quant_method": "fp8", "weight_block_size": [128, 128]}, "quantization_config (fp8)"),
        ("quantization_config", {"quant_method": "gptq", "bits": 4}, "quantization_config (gptq, 4 bits)"),
        ("quantization_config", {"load_in_4bit": True, "load_in_8bit": False}, "quantization_config (load_in_4bit)"),
        ("quantization_config", {"quant_method": "compressed-tensors"}, "quantization_config (compressed-tensors)"),
        ("quantization", {"group_size": 64, "bits": 4}, "quantization (4 bits)"),
        ("quantization_config", "awq", "quantization_config ('awq')"),
    ],
)
def test_a_config_that_says_quantized(tmp_path: Path, key: str, value: Any, said: str) -> None:
    write_checkpoint(tmp_path, CONFIG)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {key: value}))
    error = refusal(tmp_path)
    assert f"quantized already: config.json has a {said}" in error.message
    assert error.hint is not None and f"delete {key} from config.json" in error.hint, "its weights are floats"


@pytest.mark.parametrize("value", [None, {}])
def test_a_config_that_says_not_quantized(tmp_path: Path, value: Any) -> None:
    write_checkpoint(tmp_path, CONFIG)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": value}))
    assert Checkpoint.open(tmp_path).tensors


@pytest.mark.parametrize(
    ("suffix", "tensor"),
    [
        (".weight", torch.zeros(80, 48, dtype=torch.float8_e4m3fn)),
        (".weight", torch.zeros(80, 24, dtype=torch.uint8)),
        (".qweight", torch.zeros(6, 80, dtype=torch.int32)),
        (".weight_packed", torch.zeros(80, 6, dtype=torch.int32)),
    ],
)
def test_weights_that_are_quantized_whatever_the_config_says(tmp_path: Path, suffix: str, tensor: torch.Tensor) -> None:
    tensors = random_tensors(CONFIG)
    for layer in range(3):
        del tensors[f"model.layers.{layer}.mlp.up_proj.weight"]
        tensors[f"model.layers.{layer}.mlp.up_proj{suffix}"] = tensor.clone()
    write_checkpoint(tmp_path, CONFIG, tensors)
    error = refusal(tmp_path)
    assert "is quantized already: 3 tensors" in error.message and f"model.layers.0.mlp.up_proj{suffix}" in error.message
    assert "\n" not in error.message


# A config that doesn't fit


@pytest.mark.parametrize(
    ("written", "changed", "said"),
    [
        (CONFIG, {"vocab_size": 130}, "it says vocab_size 130, and they are those of a model with vocab_size 131"),
        (CONFIG, {"hidden_size": 64}, "hidden_size 64, and they are those of a model with hidden_size 48"),
        (CONFIG, {"kv_lora_rank": 32}, "kv_lora_rank 24"),
        (CONFIG, {"qk_nope_head_dim": 20}, "qk_nope_head_dim 16"),
        (CONFIG, {"v_head_dim": 16}, "v_head_dim 12"),
        (CONFIG, {"num_attention_heads": 4, "num_key_value_heads": 4}, "num_attention_heads 3"),
        (CONFIG, {"num_hidden_layers": 2}, "num_hidden_layers 3"),
        (CONFIG, {"num_hidden_layers": 5}, "num_hidden_layers 3"),
        (CONFIG, {"attention_bias": True}, "attention_bias false"),
        (CONFIG | {"attention_bias": True}, {}, "attention_bias true"),
        (CONFIG, {"tie_word_embeddings": False}, "tie_word_embeddings true"),
        (CONFIG, {"q_lora_rank": None}, "q_lora_rank 20"),
        (CONFIG | {"q_lora_rank": None}, {"q_lora_rank": 20}, "q_lora_rank null"),
    ],
)
def test_one_change_that_would_make_it_fit_is_named(
    tmp_path: Path, written: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    write_checkpoint(tmp_path, written)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | changed))
    message = refusal(tmp_path).message
    assert f"they are those of a model with {said}" in message or said in message
    assert "\n" not in message
