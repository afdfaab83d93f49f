"""``export --adapter``: a bundle of the merged model, verified against the merged model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.adapters import EVERY, make_adapter
from tests.cli_process import failed, run
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import VerificationError
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.families.adapters.choice import AdapterChoice, NamedAdapter
from youtu_onnx.families.adapters.merging import open_merged
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.publish.several import export_to
from youtu_onnx.verify.verify import verify_bundle

NANO = BUILT_IN["youtu-nano"]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of youtu-nano."""
    folder = tmp_path_factory.mktemp("adapters") / "polite"
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    make_adapter(folder, config, load_file(str(NANO / "model.safetensors")), r=4, lora_alpha=4, target_modules=EVERY, size=0.2)
    return folder


@pytest.fixture(scope="module")
def bundle(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged") / "bundle"
    options = ExportOptions("int4", adapters=AdapterChoice.parse([f"very-polite={adapter}"]))
    [made] = export_to("youtu-nano", folder, ["cpu"], options)
    assert made.parity is not None and made.parity.passed
    return folder


def test_verification_compares_with_the_merged_model(bundle: Path, adapter: Path) -> None:
    merged = open_merged("youtu-nano", NamedAdapter("very-polite", adapter))
    found = verify_bundle(bundle, merged)
    assert found.passed
    assert next(check for check in found.checks if check.name == "source").passed


def test_the_manifest_says_which_adapter_it_was(bundle: Path, adapter: Path) -> None:
    merged = open_merged("youtu-nano", NamedAdapter("very-polite", adapter))
    source = Bundle.open(bundle).manifest.source
    assert source.adapter is not None and merged.change is not None
    assert (source.adapter.name, source.adapter.sha256) == ("very-polite", merged.change.sha256)
    assert source.model == "youtu-nano" and list(source.files) == ["model.safetensors"]
    assert "with the LoRA adapter very-polite merged into it" in (bundle / "README.md").read_text(encoding="utf-8")


def test_it_is_not_compared_with_the_base_by_mistake(bundle: Path, adapter: Path, nano_bundle: Callable[..., Path]) -> None:
    with pytest.raises(VerificationError, match=r"the adapter very-polite is merged into .* and not into youtu-nano"):
        verify_bundle(bundle, Checkpoint.open("youtu-nano"))
    with pytest.raises(VerificationError, match="no adapter is merged into"):
        verify_bundle(nano_bundle(), open_merged("youtu-nano", NamedAdapter("polite", adapter)))


def test_the_commands_take_the_adapter(bundle: Path, adapter: Path, tmp_path: Path) -> None:
    done = run("verify", bundle, "--model", "youtu-nano", "--adapter", adapter, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["passed"]
    assert "add --model" in failed(run("verify", bundle, "--adapter", adapter), 2)
    text = failed(run("export", "-m", "youtu-nano", "-o", tmp_path / "x", "--adapter", tmp_path / "none"), 1)
    assert "has no adapter_config.json" in text and not (tmp_path / "x").exists()
    both = ("--adapter", adapter, "--adapter", f"other={adapter}")
    assert "one adapter can be merged" in failed(run("export", "-m", "youtu-nano", "-o", tmp_path / "x", *both), 2)
