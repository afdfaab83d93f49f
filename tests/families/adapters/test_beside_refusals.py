"""What can't be kept beside a bundle's weights is refused by name, in PEFT's folders and in ONNX Runtime's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.exported import export_tiny
from tests.families.adapters import by_hand
from tests.families.adapters.by_hand import O_PROJ
from tests.tiny_checkpoint import write_checkpoint
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import AdapterError, UsageError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import TARGETS
from youtu_onnx.publish.adapter_refusals import refuse_static
from youtu_onnx.runtimes.ort.adapter_files import read_values, write_adapter

EMBEDDING = "base_model.model.model.embed_tokens"
A, B = "model.layers.0.self_attn.o_proj.lora_A.weight", "model.layers.0.self_attn.o_proj.lora_B.weight"
HEADS = "model.layers.0.self_attn.heads.lora"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("hot")
    manifest = export_tiny(write_checkpoint(folder / "base"), folder / "bundle", Recipe("fp32"), adaptable=True)
    return Bundle(folder / "bundle", manifest)


def refused(bundle: Bundle, path: Path) -> str:
    with pytest.raises(AdapterError) as caught:
        read_values(bundle, path)
    return str(caught.value)


FOLDERS: dict[str, tuple[dict[str, torch.Tensor | None], dict[str, Any]]] = {
    "it is a DoRA": ({f"{O_PROJ}.lora_magnitude_vector": torch.ones(48)}, {"use_dora": True}),
    "model.norm.weight is trained whole": ({"base_model.model.model.norm.weight": torch.ones(48)}, {"modules_to_save": ["norm"]}),
    "model.embed_tokens.weight is trained whole": (
        {"base_model.model.model.embed_tokens.weight": torch.ones(131, 48)},
        {"modules_to_save": ["embed_tokens"]},
    ),
    "model.embed_tokens has no input in this graph": (
        {f"{EMBEDDING}.lora_embedding_A": torch.ones(4, 131), f"{EMBEDDING}.lora_embedding_B": torch.ones(48, 4)},
        {},
    ),
    "rank 37 of a matrix [48, 36], which has no more than 36": (
        {f"{O_PROJ}.lora_A.weight": torch.ones(37, 36), f"{O_PROJ}.lora_B.weight": torch.ones(48, 37)},
        {"r": 37},
    ),
    "holds 1 NaN": (
        {
            f"{O_PROJ}.lora_A.weight": torch.full((4, 36), 1.0).index_put_(
                (torch.tensor(1), torch.tensor(2)), torch.tensor(torch.nan)
            )
        },
        {},
    ),
}


@pytest.mark.parametrize("said", FOLDERS)
def test_an_adapter_that_has_to_be_merged(said: str, bundle: Bundle, tmp_path: Path) -> None:
    tensors, fields = FOLDERS[said]
    assert said in refused(bundle, by_hand.write(tmp_path / "adapter", tensors, **fields))


def test_the_hint_says_how_it_goes(bundle: Bundle, tmp_path: Path) -> None:
    folder = by_hand.write(tmp_path / "adapter", {f"{O_PROJ}.lora_magnitude_vector": torch.ones(48)}, use_dora=True)
    assert "merge it instead: youtu-onnx export --adapter DIR" in refused(bundle, folder)


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


FILES: dict[str, dict[str, np.ndarray]] = {
    "lora_B.weight is no finite array": {A: floats(36, 4)},
    "lora_A.weight is [37, 4]; expected [36, 'R']": {A: floats(37, 4), B: floats(4, 48)},
    "lora_B.weight is [4, 47]; expected ['R', 48]": {A: floats(36, 4), B: floats(4, 47)},
    "has ranks [4, 5]; expected one, of at most 36": {A: floats(36, 4), B: floats(5, 48)},
    "has ranks [1000]; expected one, of at most 36": {A: floats(36, 1000), B: floats(1000, 48)},
    "lora_A.weight is no finite array of float32": {A: floats(36, 4) * np.nan, B: floats(4, 48)},
    "lora_A.weight is no finite array of float32 ": {A: floats(36, 4).astype(np.float64), B: floats(4, 48)},
    "lora_A.weight is [36]; expected": {A: floats(36), B: floats(4, 48)},
    "has no input for: past_key_values.0.key": {"past_key_values.0.key": floats(1, 1, 4, 32)},
    "heads.lora.a_t is no finite array": {f"{HEADS}.a": floats(1, 4, 24)},
}


@pytest.mark.parametrize("said", FILES)
def test_a_file_that_does_not_fit(said: str, bundle: Bundle, tmp_path: Path) -> None:
    write_adapter(tmp_path / "x.onnx_adapter", FILES[said])
    assert said.strip() in refused(bundle, tmp_path / "x.onnx_adapter")


@pytest.mark.parametrize("contents", [b"", b"PK\x03\x04", bytes(4096), b"\xff" * 4096])
def test_a_file_that_is_none(contents: bytes, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "x.onnx_adapter").write_bytes(contents)
    assert "no file in ONNX Runtime's adapter format" in refused(bundle, tmp_path / "x.onnx_adapter")
    assert "no adapter at" in refused(bundle, tmp_path / "nowhere")


def test_a_file_that_fits_is_read(bundle: Bundle, tmp_path: Path) -> None:
    write_adapter(tmp_path / "x.onnx_adapter", {A: floats(36, 4), B: floats(4, 48)})
    assert read_values(bundle, tmp_path / "x.onnx_adapter").keys() == {A, B}


def test_a_target_of_fixed_shapes_takes_none() -> None:
    with pytest.raises(UsageError, match="fixed shapes"):
        refuse_static(TARGETS["dml"])
    refuse_static(TARGETS["cpu"])
