"""from_pretrained, save_pretrained, the hub, and what has to be installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.1")

import huggingface_hub
import torch

from tests.runtimes.hf.inputs import generated
from tests.vectors.make import NANO
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.runtimes.huggingface.config import generation_config_of
from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"export": True}, "youtu-onnx export --model"),
        ({"torch_dtype": torch.float16, "device_map": "auto"}, "device_map, torch_dtype: no such option"),
        ({"revision": "main"}, "it is not on a hub"),
        ({"provider": "abacus"}, "abacus"),
    ],
)
def test_what_from_pretrained_refuses(nano_bundle, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp32"), **options)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        ORTYoutuForCausalLM.from_pretrained(NANO)
    with pytest.raises(BundleError, match="nothing is there"):
        ORTYoutuForCausalLM.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", '{"early_stopping": "soon"}', '{"max_new_tokens": "x"}'])
def test_a_generation_config_that_transformers_does_not_take(model, tmp_path: Path, text: str) -> None:
    (tmp_path / "generation_config.json").write_text(text)
    with pytest.raises(BundleError, match=r"generation_config\.json"):
        generation_config_of(Bundle(tmp_path, model.model.bundle.manifest), model.config)


def test_saving_copies_the_bundle(model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "copy")
    with ORTYoutuForCausalLM.from_pretrained(tmp_path / "copy") as opened:
        assert opened.model.bundle.manifest == model.model.bundle.manifest
        assert opened.config.to_diff_dict() | {"_name_or_path": ""} == model.config.to_diff_dict() | {"_name_or_path": ""}
    with pytest.raises(UsageError):
        model.save_pretrained(tmp_path / "copy")
    with pytest.raises(UsageError, match="hf upload"):
        model.save_pretrained(tmp_path / "other", push_to_hub=True)
    assert not (tmp_path / "other").exists()


def test_the_config_is_the_checkpoints(model, reference) -> None:
    for name in (
        "model_type",
        "vocab_size",
        "kv_lora_rank",
        "max_position_embeddings",
        "eos_token_id",
        "rope_parameters",
        "num_attention_heads",
        "architectures",
    ):
        assert getattr(model.config, name) == getattr(reference.config, name), name
    assert model.can_generate() and model.main_input_name == "input_ids" and model.device == torch.device("cpu")


def hub_cache(folder: Path, bundle: Path, repository: str) -> None:
    """``bundle`` as huggingface_hub keeps what it downloaded: blobs, and a snapshot of links to them."""
    root, commit = folder / f"models--{repository.replace('/', '--')}", "ab" * 20
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    (root / "snapshots" / commit).mkdir(parents=True)
    (root / "blobs").mkdir()
    for number, file in enumerate(sorted(bundle.iterdir())):
        shutil.copy(file, root / "blobs" / str(number))
        (root / "snapshots" / commit / file.name).symlink_to(f"../../blobs/{number}")


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges on Windows")
def test_a_bundle_in_the_hubs_cache(nano_bundle, single, model, tmp_path: Path, monkeypatch) -> None:
    hub_cache(tmp_path, nano_bundle("fp32"), "someone/youtu-nano-onnx")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    opened = ORTYoutuForCausalLM.from_pretrained("someone/youtu-nano-onnx", local_files_only=True)
    assert generated(opened, single).tolist() == generated(model, single).tolist()
    with pytest.raises(BundleError, match="not \\(or not wholly\\) in the hub's cache"):
        ORTYoutuForCausalLM.from_pretrained("someone/else", local_files_only=True)


def test_a_bundle_is_fetched_with_its_weights_and_without_code(nano_bundle, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda repository, **options: asked.append((repository, options)) or str(nano_bundle("fp32")),
    )
    ORTYoutuForCausalLM.from_pretrained("someone/youtu-nano-onnx", revision="v1").close()
    [(repository, options)] = asked
    assert (repository, options["revision"]) == ("someone/youtu-nano-onnx", "v1")
    wanted = {file.name for file in nano_bundle("fp32").iterdir() if file.suffix != ".lock"}
    assert all(any(fnmatch(name, pattern) for pattern in options["allow_patterns"]) for name in wanted)
    assert not any(
        fnmatch(name, pattern) for name in ("modeling.py", "pytorch_model.bin") for pattern in options["allow_patterns"]
    )


def test_optimums_base_is_the_base_where_it_can_be_imported() -> None:
    base = pytest.importorskip("optimum.modeling_base", exc_type=ImportError)
    assert issubclass(ORTYoutuForCausalLM, base.OptimizedModel)


def test_without_torch_the_package_works_and_the_class_says_what_is_missing(nano_bundle) -> None:
    code = f"""
import sys
for name in ("torch", "transformers"):
    sys.modules[name] = None
import youtu_onnx
from youtu_onnx.core.errors import YoutuOnnxError
try:
    youtu_onnx.ORTYoutuForCausalLM
except YoutuOnnxError as error:
    assert "youtu-onnx[transformers]" in str(error), error
else:
    raise AssertionError("no error")
with youtu_onnx.load({str(nano_bundle("fp32"))!r}) as model:
    assert model.generate("3 + 4 = ?", greedy=True, max_tokens=4).token_ids
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=NANO.parent.parent.parent)
