"""``youtu-onnx inspect`` states what a bundle's manifest and files say."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli_process import failed, run
from youtu_onnx.conformance import TABLES
from youtu_onnx.core.bundle import names
from youtu_onnx.core.target import TARGETS
from youtu_onnx.inspect.inspection import inspect_bundle

NanoBundle = Callable[..., Path]
DEVICES = [name for name in TABLES if name in TARGETS]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "youtu_onnx.cli", "inspect", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_numbers_are_those_of_the_files(nano_bundle: NanoBundle) -> None:
    folder = nano_bundle("int4")
    found = inspect_bundle(folder)
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert report["source"]["model"] == "youtu-nano"
    assert report["target"] == "cpu"
    assert report["files"] == {name: (folder / name).stat().st_size for name in report["files"]}
    assert report["size"] == sum(report["files"].values())
    assert report["weights"] == (folder / names.MODEL_DATA).stat().st_size
    assert report["bits_per_weight"] == pytest.approx(8 * report["weights"] / report["parameters"], abs=1e-3)
    assert report["operators"]["MatMulNBits"] > 0


def test_bits_per_weight_fall_with_precision(nano_bundle: NanoBundle) -> None:
    bits = [inspect_bundle(nano_bundle(precision)).bits_per_weight for precision in ("fp32", "fp16", "int8", "int4")]
    assert bits == sorted(bits, reverse=True)
    assert 32 <= bits[0] < 32.6, "the gaps between tensors are small, and kv_b_proj is there twice, cut for both orders"


def test_cache_of_the_latent_form_against_per_head_keys_and_values(nano_bundle: NanoBundle) -> None:
    found = inspect_bundle(nano_bundle("int4", "latent"))
    a = found.architecture
    assert found.manifest.cache.bytes_per_token == 4 * a.num_hidden_layers * (a.kv_lora_rank + a.qk_rope_head_dim)
    per_head = a.qk_nope_head_dim + a.qk_rope_head_dim + a.v_head_dim
    assert found.expanded_bytes_per_token == 4 * a.num_hidden_layers * a.num_attention_heads * per_head
    assert found.expanded_bytes_per_token == inspect_bundle(nano_bundle("int4", "expanded")).manifest.cache.bytes_per_token


def test_memory_is_stated_at_several_lengths_within_the_context(nano_bundle: NanoBundle) -> None:
    found = inspect_bundle(nano_bundle())
    full = found.manifest.model.max_position_embeddings
    assert [context.tokens for context in found.contexts][-1] == full
    long = replace(found, manifest=replace(found.manifest, model=replace(found.manifest.model, max_position_embeddings=131072)))
    assert [context.tokens for context in long.contexts] == [4096, 32768, 131072]
    for context in long.contexts:
        assert context.cache == context.tokens * found.manifest.cache.bytes_per_token
        assert context.memory == found.weights + context.cache < context.prompt


@pytest.mark.parametrize("target", DEVICES)
def test_a_bundle_is_taken_by_the_target_that_it_is_made_for(nano_bundle: NanoBundle, target: str) -> None:
    length = 256 if target == "dml" else None
    for precision in ("int4", "fp16"):
        placed = inspect_bundle(nano_bundle(precision, target=target, max_length=length)).conformance(target)
        assert placed.placements and not placed.faults, placed.summary()


def test_the_cpus_graph_is_not_taken_elsewhere(nano_bundle: NanoBundle) -> None:
    found = inspect_bundle(nano_bundle())
    placements = {target: found.conformance(target) for target in DEVICES}
    assert all(placements[target].faults for target in DEVICES)
    assert any("If" in line for line in placements["cuda"].summary())


def test_the_command_prints_the_placement_expected(nano_bundle: NanoBundle) -> None:
    text = run("inspect", nano_bundle("fp16", target="dml", max_length=256), "--target", "dml").stdout.decode()
    assert "DirectML in ONNX Runtime 1.24.4 takes the graph" in text
    text = run("inspect", nano_bundle(), "--target", "webgpu").stdout.decode()
    assert "does not take it" in text and "MatMulIntegerToFloat: has no kernel" in text
    text = run("inspect", nano_bundle(), "--target", "web-wasm").stdout.decode()
    assert "WebAssembly in onnxruntime-web 1.30.0 takes the graph" in text
    assert "choose one of: cuda, dml, webgpu, web-wasm" in failed(run("inspect", nano_bundle(), "--target", "cpu"), 2)


def test_without_onnx_everything_but_operators(nano_bundle: NanoBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    found = inspect_bundle(nano_bundle())
    assert found.operators is None
    assert math.isfinite(found.bits_per_weight)


def test_command(nano_bundle: NanoBundle) -> None:
    ended = command(nano_bundle())
    assert ended.returncode == 0, ended.stderr
    for expected in ("youtu-nano", "bits per parameter", "per token", "MatMulNBits", "youtu-onnx verify BUNDLE"):
        assert expected in ended.stdout
    as_json = command(nano_bundle(), "--json")
    assert json.loads(as_json.stdout)["parameters"] > 0
    assert not as_json.stderr


def test_command_on_what_is_no_bundle(tmp_path: Path) -> None:
    ended = command(tmp_path / "nowhere")
    assert ended.returncode == 1
    assert "nothing is there" in ended.stderr
