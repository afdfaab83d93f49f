"""What is no adapter, or none that could be built exactly, is refused by name and before any work."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.families.adapters import by_hand
from tests.families.adapters.by_hand import O_PROJ
from tests.tiny_checkpoint import CONFIG, write_checkpoint
from youtu_onnx.core.errors import AdapterError, CheckpointError, UsageError
from youtu_onnx.families.adapters.adapter import Adapter
from youtu_onnx.families.adapters.choice import AdapterChoice, NamedAdapter
from youtu_onnx.families.adapters.merging import open_merged
from youtu_onnx.families.youtu.architecture import Architecture

ARCHITECTURE = Architecture.from_config(CONFIG)


def refused(folder: Path) -> str:
    with pytest.raises(AdapterError) as caught:
        Adapter.open(folder, ARCHITECTURE)
    return str(caught.value)


FIELDS: dict[str, dict[str, Any]] = {
    "'LOHA'": {"peft_type": "LOHA"},
    "'VERA'": {"peft_type": "VERA"},
    "None": {"peft_type": None},
    "task_type is 'SEQ_CLS'": {"task_type": "SEQ_CLS"},
    "use_qalora": {"use_qalora": True},
    "alora_invocation_tokens": {"alora_invocation_tokens": [1, 2]},
    "layer_replication": {"layer_replication": [[0, 2], [1, 3]]},
    "target_parameters": {"target_parameters": ["mlp.experts"]},
    "trainable_token_indices": {"trainable_token_indices": [5]},
    "lora_bias": {"lora_bias": True},
    "use_tomorrow: nothing that this version knows": {"use_tomorrow": {"much": 1}},
    "init_lora_weights is 'pissa_niter_4'": {"init_lora_weights": "pissa_niter_4"},
    "r is 0": {"r": 0},
    "r is True": {"r": True},
    "r is '8'": {"r": "8"},
    "lora_alpha is None": {"lora_alpha": None},
    "rank_pattern has -1 for 'o_proj'": {"rank_pattern": {"o_proj": -1}},
    "rank_pattern is [1]": {"rank_pattern": [1]},
    "a pattern that isn't matched here: '(a+)+$'": {"rank_pattern": {"(a+)+$": 4}},
    "a pattern that isn't matched here: '.*.*.*.*.*x'": {"alpha_pattern": {".*.*.*.*.*x": 4}},
    "a pattern that isn't matched here: '['": {"alpha_pattern": {"[": 4}},
    "modules_to_save is 7": {"modules_to_save": 7},
    "use_dora is 'no'": {"use_dora": "no"},
}


@pytest.mark.parametrize("said", FIELDS)
def test_a_field_that_would_make_another_model(said: str, tmp_path: Path) -> None:
    assert said in refused(by_hand.write(tmp_path / "adapter", **FIELDS[said]))


TENSORS: dict[str, dict[str, torch.Tensor | None]] = {
    f"{O_PROJ}.lora_A.weight has shape [4, 48]; expected [4, 36]": {f"{O_PROJ}.lora_A.weight": torch.ones(4, 48)},
    f"{O_PROJ}.lora_B.weight has shape [48, 5]; expected [48, 4]": {f"{O_PROJ}.lora_B.weight": torch.ones(48, 5)},
    f"{O_PROJ}.lora_B.weight has shape [48]; expected [48, 4]": {f"{O_PROJ}.lora_B.weight": torch.ones(48)},
    "has lora_A alone": {f"{O_PROJ}.lora_B.weight": None},
    "it has no tensors": dict.fromkeys(by_hand.tensors()),
    "the model has no matrix model.layers.0.self_attn.v_proj": {
        "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight": torch.ones(4, 48),
        "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight": torch.ones(48, 4),
    },
    "the model has no matrix model.norm": {
        "base_model.model.model.norm.lora_A.weight": torch.ones(4, 48),
        "base_model.model.model.norm.lora_B.weight": torch.ones(48, 4),
    },
    "the model has no matrix model.layers.3.self_attn.o_proj": {
        "base_model.model.model.layers.3.self_attn.o_proj.lora_A.weight": torch.ones(4, 36),
        "base_model.model.model.layers.3.self_attn.o_proj.lora_B.weight": torch.ones(48, 4),
    },
    "model.layers.0.self_attn.o_proj is no embedding": {
        f"{O_PROJ}.lora_A.weight": None,
        f"{O_PROJ}.lora_B.weight": None,
        f"{O_PROJ}.lora_embedding_A": torch.ones(4, 48),
        f"{O_PROJ}.lora_embedding_B": torch.ones(36, 4),
    },
    "the DoRA of an embedding": {
        "base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 131),
        "base_model.model.model.embed_tokens.lora_embedding_B": torch.ones(48, 4),
        "base_model.model.model.embed_tokens.lora_magnitude_vector": torch.ones(48),
    },
    "use_dora is false, and there is a lora_magnitude_vector": {f"{O_PROJ}.lora_magnitude_vector": torch.ones(48)},
    "model.norm.weight has shape [47]; expected [48]": {"base_model.model.model.norm.weight": torch.ones(47)},
    "score.weight: the model has no such tensor": {"base_model.model.score.weight": torch.ones(2, 48)},
    "model.embed_tokens.weight has shape [133, 48]; expected [131, 48]": {
        "base_model.model.model.embed_tokens.weight": torch.ones(133, 48)
    },
    "nothing of a LoRA has such a name": {"model.layers.0.self_attn.o_proj.lora_A.weight": torch.ones(4, 36)},
    "is I32; read are": {f"{O_PROJ}.lora_A.weight": torch.ones(4, 36, dtype=torch.int32)},
}


@pytest.mark.parametrize("said", TENSORS)
def test_a_tensor_that_does_not_fit(said: str, tmp_path: Path) -> None:
    folder = by_hand.write(tmp_path / "adapter", TENSORS[said], use_dora=said.startswith("the DoRA"))
    assert said in refused(folder)


def test_a_rank_of_its_own_is_what_the_tensors_have(tmp_path: Path) -> None:
    folder = by_hand.write(tmp_path / "adapter", rank_pattern={"o_proj": 5})
    assert "lora_A.weight has shape [4, 36]; expected [5, 36]" in refused(folder)


def test_the_base_that_it_names_is_told(tmp_path: Path) -> None:
    folder = by_hand.write(tmp_path / "adapter", {f"{O_PROJ}.lora_A.weight": torch.ones(4, 2048)})
    assert "it says that it was trained on tencent/Youtu-LLM-2B" in refused(folder)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_are_none(number: float, dtype: torch.dtype, tmp_path: Path) -> None:
    bad = torch.ones(48, 4, dtype=dtype)
    bad[3, 1] = number
    folder = by_hand.write(tmp_path / "adapter", {f"{O_PROJ}.lora_B.weight": bad})
    opened = open_merged(write_checkpoint(tmp_path / "base"), NamedAdapter("one", folder))
    with pytest.raises(AdapterError, match=r"o_proj\.lora_B\.weight in .* holds 1 NaN or infinite value"):
        opened.tensor("model.layers.0.self_attn.o_proj.weight")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    folder = by_hand.write(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({"a": 1}))
    assert "only pickled weights (adapter_model.bin), which can run any code" in refused(folder)


def test_folders_without_an_adapter(tmp_path: Path) -> None:
    assert "has no adapter_config.json" in refused(tmp_path)
    folder = by_hand.write(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").write_bytes(b"version https://git-lfs")
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        Adapter.open(folder, ARCHITECTURE)
    (folder / "adapter_model.safetensors").unlink()
    assert "has no adapter_model.safetensors" in refused(folder)
    (folder / "adapter_config.json").write_text("[1]", encoding="utf-8")
    assert "holds a JSON list" in refused(folder)
    (folder / "adapter_config.json").write_text("{", encoding="utf-8")
    assert "can't be read as JSON" in refused(folder)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    folder = by_hand.write(tmp_path / "adapter", r=0, lora_bias=True, use_qalora=True)
    said = refused(folder)
    assert all(name in said for name in ("r is 0", "lora_bias", "use_qalora"))
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == 0


@pytest.mark.parametrize("given", ["", "  ", "name=", "../x=/tmp", "a/b=/tmp", "-a=/tmp", "a b=/tmp", f"{'x' * 65}=/tmp", "=/"])
def test_names_that_cannot_be_an_adapters(given: str) -> None:
    with pytest.raises(UsageError):
        NamedAdapter.parse(given)


def test_a_folder_may_have_an_equals_sign(tmp_path: Path) -> None:
    folder = tmp_path / "rank=8"
    folder.mkdir()
    assert NamedAdapter.parse(f"r8={folder}") == NamedAdapter("r8", folder)
    with pytest.raises(UsageError, match="can't be an adapter's name"):
        NamedAdapter.parse(str(folder))


def test_one_adapter_is_merged_at_most() -> None:
    with pytest.raises(UsageError, match="one adapter can be merged into the weights, and these are 2: a, b"):
        AdapterChoice.parse(["a=/x", "b=/y"])
    assert AdapterChoice.parse(["a=/x", "b=/y"], "hot").merged is None
    with pytest.raises(UsageError, match="two adapters have one name"):
        AdapterChoice.parse(["a=/x", "a=/y"], "hot")
    with pytest.raises(UsageError, match="unknown adapter mode"):
        AdapterChoice.parse(["a=/x"], "cold")
