"""What is no checkpoint is called what it is, with what helps; so is what is no bundle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file

from tests.tiny_checkpoint import CONFIG, write_checkpoint
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, CheckpointError
from youtu_onnx.families.checkpoint import Checkpoint

COMMIT = "0123456789abcdef" * 2 + "01234567"
LORA = {"base_model.model.model.layers.0.self_attn.q_b_proj.lora_A.weight": torch.zeros(8, 20)}


def adapter(folder: Path) -> None:
    config = {"peft_type": "LORA", "base_model_name_or_path": "tencent/Youtu-LLM-2B"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(LORA, str(folder / "adapter_model.safetensors"))


def adapter_beside_its_base(folder: Path) -> None:
    write_checkpoint(folder)
    adapter(folder)


def damaged_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def other_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "IA3", "base_model_name_or_path": null}')


def file_of(name: str, content: bytes = b"\x00" * 16) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def gguf_with_a_config(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model").write_bytes(b"GGUF\x03\x00\x00\x00")


def diffusers(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    write_checkpoint(folder / "text_encoder")


def cached(folder: Path, *, main: str | None = COMMIT) -> Path:
    model = folder / "models--tencent--Youtu-LLM-2B"
    write_checkpoint(model / "snapshots" / COMMIT)
    write_checkpoint(model / "snapshots" / ("f" * 40))
    (model / "refs").mkdir()
    if main is not None:
        (model / "refs" / "main").write_text(main)
    return model


def training(folder: Path) -> None:
    for step in (90, 1000, 500):
        write_checkpoint(folder / f"checkpoint-{step}")
    (folder / "trainer_state.json").write_text("{}")


def deepspeed(folder: Path) -> None:
    (folder / "global_step100").mkdir()
    (folder / "latest").write_text("global_step100")


FOLDERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "LoRA": (adapter, "a LoRA adapter for tencent/Youtu-LLM-2B", "merge_and_unload"),
    "LoRA beside its base": (adapter_beside_its_base, "a LoRA adapter", "if its weights are merged already, delete"),
    "damaged adapter": (damaged_adapter, "a LoRA adapter, not a whole checkpoint", "merge"),
    "IA3": (other_adapter, "an IA3 adapter, not", "merge"),
    "GGUF": (file_of("m-Q4_K_M.gguf", b"GGUF\x03\x00\x00\x00"), "a folder of GGUF files (m-Q4_K_M.gguf)", "safetensors"),
    "GGUF without its suffix": (gguf_with_a_config, "a folder of GGUF files (model)", "safetensors"),
    "ONNX": (file_of("model.onnx"), "a folder of ONNX files (model.onnx)", "safetensors"),
    "OpenVINO": (file_of("openvino_model.xml"), "a folder of OpenVINO files", "safetensors"),
    "TensorRT": (file_of("rank0.engine"), "a folder of TensorRT files", "safetensors"),
    "MLX": (file_of("weights.npz"), "a folder of MLX files", "safetensors"),
    "TensorFlow": (file_of("tf_model.h5"), "a folder of TensorFlow files", "safetensors"),
    "diffusers": (diffusers, "a diffusers pipeline (FluxPipeline)", "safetensors"),
    "hub cache": (cached, "a cache of the hub, with tencent/Youtu-LLM-2B", "hub id"),
    "checkpoints of a training": (training, "with checkpoint-1000, checkpoint-500, checkpoint-90", "checkpoint-1000"),
    "DeepSpeed": (deepspeed, "the state of a training, in parts (global_step100)", "zero_to_fp32.py"),
    "FSDP": (file_of("__0_0.distcp"), "the state of a training, in parts (__0_0.distcp)", "accelerate merge-weights"),
    "pickles": (file_of("pytorch_model.bin"), "has no config.json", "config.json beside its weights"),
}


def checkpoint_refusal(path: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message, "one sentence"
    return str(caught.value)


def bundle_refusal(path: Path | str) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message, "one sentence"
    return str(caught.value)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    make, what, hint = FOLDERS[name]
    make(tmp_path)
    message = checkpoint_refusal(tmp_path)
    assert what in message and hint in message


@pytest.mark.parametrize(
    ("name", "content", "what", "hint"),
    [
        ("m.gguf", b"", "a GGUF file", "safetensors"),
        ("m", b"GGUF\x03\x00\x00\x00", "a GGUF file", "safetensors"),
        ("model.onnx", b"", "an ONNX file", "safetensors"),
        ("pytorch_model.bin", b"", "pickled weights", "save_pretrained"),
        ("m.zip", b"", "an archive", "unpack"),
        ("config.json", b"{}", "--model names the folder", "try --model"),
        ("model.safetensors", b"", "--model names the folder", "try --model"),
    ],
)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, name: str, content: bytes, what: str, hint: str) -> None:
    (tmp_path / name).write_bytes(content)
    message = checkpoint_refusal(tmp_path / name)
    assert what in message and hint in message


@pytest.mark.parametrize("main", [COMMIT, None, "0" * 40])
def test_a_model_of_the_hub_s_cache_leads_to_its_snapshots(tmp_path: Path, main: str | None) -> None:
    model = cached(tmp_path, main=main)
    for folder in (model, model / "snapshots"):
        message = checkpoint_refusal(folder)
        assert "tencent/Youtu-LLM-2B in the hub's cache" in message
        assert f"name {model / 'snapshots' / COMMIT}" in message
    shutil.rmtree(model / "snapshots")
    assert "hf download tencent/Youtu-LLM-2B" in checkpoint_refusal(model)


def test_links_of_a_snapshot_that_lead_nowhere(tmp_path: Path) -> None:
    """What is left where blobs were deleted, or a snapshot was copied without them."""
    folder = write_checkpoint(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../blobs/0123")
    assert "links to files that are gone: model.safetensors" in checkpoint_refusal(folder)


def test_a_snapshot_is_called_as_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = cached(tmp_path) / "snapshots" / COMMIT
    found = Checkpoint.open(snapshot)
    assert (found.name, found.revision) == ("tencent/Youtu-LLM-2B", COMMIT)
    (tmp_path / "link").symlink_to(snapshot)
    found = Checkpoint.open(tmp_path / "link")
    assert (found.name, found.revision) == ("tencent/Youtu-LLM-2B", COMMIT)
    monkeypatch.chdir(snapshot)
    assert Checkpoint.open(".").name == "tencent/Youtu-LLM-2B"


@pytest.mark.parametrize("place", ["Youtu-LLM-2B", "Youtu-LLM-2B/snapshots"])
def test_no_model_is_called_as_a_commit(tmp_path: Path, place: str) -> None:
    found = Checkpoint.open(write_checkpoint(tmp_path / place / COMMIT))
    assert (found.name, found.revision) == ("Youtu-LLM-2B", COMMIT)


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("https://huggingface.co/tencent/Youtu-LLM-2B", "--model tencent/Youtu-LLM-2B"),
        ("https://huggingface.co/tencent/Youtu-LLM-2B/tree/main", "--model tencent/Youtu-LLM-2B --revision main"),
        ("tencent/Youtu-LLM-2B@v1.0", "--model tencent/Youtu-LLM-2B --revision v1.0"),
        ("nowhere", "hub id such as"),
        ("", "hub id such as"),
        ("x" * 5000, "hub id such as"),
        ("a\0b", "hub id such as"),
        ("~nobody-of-that-name/x", "hub id such as"),
    ],
)
def test_a_name_that_leads_nowhere(model: str, hint: str) -> None:
    assert hint in checkpoint_refusal(model)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m")
    (tmp_path / "m").chmod(0)
    try:
        assert "can't be read" in checkpoint_refusal(tmp_path / "m")
        assert "no bundle at" in bundle_refusal(tmp_path / "m")
    finally:
        (tmp_path / "m").chmod(0o700)


# Bundles


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """As far as anybody looks who doesn't open it."""
    folder = tmp_path / "nano-int4"
    folder.mkdir()
    for name in (names.MODEL, names.MODEL_DATA, names.CONFIG):
        (folder / name).write_text("{}")
    (folder / names.MANIFEST).write_text('{"source": {"model": "youtu-nano"}}')
    return folder


def test_a_bundle_is_no_checkpoint(bundle: Path) -> None:
    message = checkpoint_refusal(bundle)
    assert "is a bundle" in message and "youtu-nano" in message and f"youtu-onnx chat {bundle}" in message


def test_a_checkpoint_is_no_bundle(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a model")
    message = bundle_refusal(folder)
    assert "it is a checkpoint" in message
    assert f"youtu-onnx export --model '{folder}' --output 'a model-onnx'" in message


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_no_checkpoint_is_no_bundle(tmp_path: Path, name: str) -> None:
    make, what, _ = FOLDERS[name]
    make(tmp_path)
    message = bundle_refusal(tmp_path)
    assert what in message or "it has no youtu_onnx.json" in message


@pytest.mark.parametrize("inside", ["model.onnx", "config.json", "onnx", "onnx/model_q4.onnx"])
def test_what_lies_in_a_bundle_leads_to_it(bundle: Path, inside: str) -> None:
    (bundle / "onnx").mkdir()
    (bundle / "onnx" / "model_q4.onnx").write_text("")
    message = bundle_refusal(bundle / inside)
    assert f"name the bundle's folder: {bundle}" in message
    assert "--output" not in message


def test_a_folder_above_bundles_names_them(bundle: Path) -> None:
    message = bundle_refusal(bundle.parent)
    assert "a folder with nano-int4" in message and f"name {bundle}" in message


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("tencent/Youtu-LLM-2B", "youtu-onnx export --model tencent/Youtu-LLM-2B --output Youtu-LLM-2B"),
        ("tencent/Youtu-LLM-2B", "hf download tencent/Youtu-LLM-2B"),
        ("youtu-nano", "youtu-onnx export --model youtu-nano --output youtu-nano-onnx"),
        ("nano-int8", "did you mean nano-int4?"),
        ("elsewhere", "youtu-onnx export --model youtu-nano --output elsewhere; bundles that are there: nano-int4"),
        ("x" * 5000, "name the folder that youtu-onnx export wrote"),
    ],
)
def test_a_bundle_that_is_not_there(bundle: Path, monkeypatch: pytest.MonkeyPatch, path: str, hint: str) -> None:
    monkeypatch.chdir(bundle.parent)
    assert hint in bundle_refusal(path)
