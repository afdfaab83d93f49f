"""Verification passes bundles that are right, and fails those that are wrong, whatever is wrong with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from tests.tiny_checkpoint import CONFIG, write_checkpoint
from tests.verify.changed_bundle import rewrite_manifest
from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import VerificationError
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.core.recipe import PRECISIONS
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.verify import comparing
from youtu_onnx.verify.parity import PATHS
from youtu_onnx.verify.verify import verify_bundle, verify_parity

NanoBundle = Callable[..., Path]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_youtu_nano_equals_pytorch(nano_bundle: NanoBundle, nano: Checkpoint, precision: str) -> None:
    found = verify_parity(nano_bundle(precision), nano)
    assert found.passed, found.faults
    assert found.confident, "a trained model: the gates on KL apply"
    assert set(found.paths) | {"native"} == set(PATHS)
    assert len(found.prompts) == 9
    assert found.greedy_agreement >= {"fp32": 1, "fp16": 0.99, "int8": 0.97, "int4": 0.9}[precision]
    assert set(found.graph) | {"native"} == set(PATHS)
    assert min(one.correlation for one in found.graph.values()) > 0.999, "PyTorch rounds the weights as the bundle does"
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert report["passed"]
    assert report["positions"] == found.total.positions
    assert found.summary().startswith("equal to PyTorch")


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_two_layers_weights_swapped(copied: Callable[..., Path], nano: Checkpoint, precision: str) -> None:
    """Every file is whole, every number plausible, and the graph runs: only the comparison can tell."""
    folder = copied(precision)
    graph = pytest.importorskip("onnx").load(folder / names.MODEL, load_external_data=False).graph
    entries = [
        {item.key: item.value for item in tensor.external_data}
        for tensor in graph.initializer
        if tensor.name.endswith(
            (
                "layers.1.mlp.down_proj.weight",
                "layers.2.mlp.down_proj.weight",
                "layers.1.mlp.down_proj.weight_q4",
                "layers.2.mlp.down_proj.weight_q4",
            )
        )
    ]
    one, other = (slice(int(entry["offset"]), int(entry["offset"]) + int(entry["length"])) for entry in entries)
    content = bytearray((folder / names.MODEL_DATA).read_bytes())
    content[one], content[other] = content[other], content[one]
    (folder / names.MODEL_DATA).write_bytes(content)
    rewrite_manifest(folder)
    found = verify_bundle(folder, nano)
    assert found.parity is not None
    assert not found.passed
    assert found.parity.faults


def test_a_fault_in_the_order_of_attention_for_long_steps(copied: Callable[..., Path], nano: Checkpoint) -> None:
    """Short prompts never take that branch."""
    onnx = pytest.importorskip("onnx")
    folder = copied("int4")
    model = onnx.load(folder / names.MODEL, load_external_data=False)
    for node in model.graph.node:
        for branch in (attribute.g for attribute in node.attribute if attribute.name == "then_branch"):
            for inner in branch.node:
                if inner.op_type == "Softmax":
                    inner.op_type = "Identity"
                    del inner.attribute[:]
    onnx.save(model, folder / names.MODEL)
    rewrite_manifest(folder)
    found = verify_bundle(folder, nano)
    assert found.parity is not None
    assert not found.passed
    assert found.parity.faults


@pytest.mark.parametrize("path", ["tokens", "decode", "batch"])
def test_each_path_is_really_compared(
    nano_bundle: NanoBundle, nano: Checkpoint, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A fault in one way of running, and only there, is found there."""
    run = OrtModel.run

    def faulty(self: OrtModel, ids: np.ndarray, mask: np.ndarray, positions: np.ndarray, past: object = None) -> tuple:
        logits, presents = run(self, ids, mask, positions, past)
        hit = {
            "tokens": ids.shape == (1, 1) and mask.shape[1] < 9,
            "decode": ids.shape == (1, 1) and mask.shape[1] > 30,
            "batch": ids.shape[0] > 1,
        }[path]
        return (np.roll(logits, 1, -1) if hit else logits), presents

    monkeypatch.setattr(OrtModel, "run", faulty)
    found = verify_parity(nano_bundle("fp32"), nano)
    assert not found.passed
    assert {fault.split(":")[0] for fault in found.faults} == {path}


def test_another_checkpoint_is_noticed_and_fails(nano_bundle: NanoBundle, nano: Checkpoint, tmp_path: Path) -> None:
    other = shutil.copytree(BUILT_IN["youtu-nano"], tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"] *= -1
    save_file(tensors, str(other / "model.safetensors"))
    found = verify_bundle(nano_bundle("fp32"), Checkpoint.open(other))
    assert not found.passed
    [source] = [check for check in found.checks if check.name == "source"]
    assert source.passed is None
    assert "other weights than then: model.safetensors" in source.detail


def test_a_checkpoint_of_another_shape_is_refused(nano_bundle: NanoBundle, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="hidden_size 256 and 48"):
        verify_parity(nano_bundle(), Checkpoint.open(write_checkpoint(tmp_path, CONFIG)))


def test_memory_order_the_session_is_closed_before_pytorch_starts(
    nano_bundle: NanoBundle, nano: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[OrtModel] = []
    make = OrtModel.__init__

    def remember(self: OrtModel, *arguments: object, **options: object) -> None:
        make(self, *arguments, **options)
        opened.append(self)

    def check(*_: object) -> None:
        assert [model._session for model in opened] == [None]
        raise KeyboardInterrupt

    monkeypatch.setattr(OrtModel, "__init__", remember)
    monkeypatch.setattr(comparing, "_compare_weights", check)
    with pytest.raises(KeyboardInterrupt):
        verify_parity(nano_bundle(), nano)
