"""Verification passes what is right, fails what is wrong at every precision, and says which is which."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from tests.tiny_checkpoint import CONFIG, write_checkpoint
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import BundleError, VerificationError
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.core.recipe import PRECISIONS
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.verify import verify as verify_module
from youtu_onnx.verify.difference import Difference, centre, compare
from youtu_onnx.verify.graph import check_graph
from youtu_onnx.verify.parity import PATHS, Parity, PromptParity
from youtu_onnx.verify.rounding import rounding
from youtu_onnx.verify.verify import verify_bundle, verify_parity

NanoBundle = Callable[..., Path]
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(20, 500)).astype(np.float32) * 3


def difference(other: np.ndarray, reference: np.ndarray = LOGITS) -> Difference:
    return compare(reference, other.astype(np.float32), centre(reference))


# Measures


def test_equal_logits_do_not_differ() -> None:
    found = difference(LOGITS)
    assert (found.max_abs, found.relative_error, found.mean_kl, found.kl_share) == (0, 0, 0, 0)
    assert found.top1 == found.decided_top1 == 1
    assert found.correlation == pytest.approx(1)
    assert found.positions == 20


def test_a_constant_added_to_all_logits_costs_nothing() -> None:
    found = difference(LOGITS + 5)
    assert found.max_abs == pytest.approx(5, abs=1e-5)
    assert found.relative_error < 1e-6
    assert found.mean_kl < 1e-10


def test_knowing_nothing_loses_all_information() -> None:
    found = difference(np.zeros_like(LOGITS))
    assert found.kl_share == pytest.approx(1)
    assert found.relative_error == pytest.approx(1)
    assert abs(found.correlation) < 1e-9


def test_unrelated_logits_lose_more_than_all() -> None:
    found = difference(RANDOM.permuted(LOGITS, axis=1))
    assert found.kl_share > 1.5
    assert found.relative_error == pytest.approx(math.sqrt(2), abs=0.1)
    assert abs(found.correlation) < 0.1


def test_correlation_is_blind_to_what_all_positions_share() -> None:
    shared = LOGITS + 10 * RANDOM.normal(size=500)
    found = compare(shared, np.roll(shared, 1, 0), centre(shared))
    assert found.relative_error < 0.5
    assert abs(found.correlation) < 0.15


def test_kl_is_that_of_the_definition() -> None:
    other = LOGITS + RANDOM.normal(size=LOGITS.shape)
    p, q = (np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(1, keepdims=True) for x in (LOGITS, other))
    expected = (p * np.log(p / q)).sum(1)
    found = difference(other)
    assert found.mean_kl == pytest.approx(expected.mean(), rel=1e-4)
    assert found.max_kl == pytest.approx(expected.max(), rel=1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_bad_number_spoils_every_error(value: float) -> None:
    other = LOGITS.copy()
    other[3, 7] = value
    found = difference(other)
    assert all(math.isnan(x) for x in (found.max_abs, found.relative_error, found.mean_kl, found.max_kl, found.correlation))
    assert found.to_dict()["mean_kl"] is None, "JSON has no NaN"


def test_differences_add_up() -> None:
    other = LOGITS + RANDOM.normal(size=LOGITS.shape).astype(np.float32)
    around = centre(LOGITS)
    parts = compare(LOGITS[:7], other[:7], around) + compare(LOGITS[7:], other[7:], around)
    assert parts.to_dict() == compare(LOGITS, other, around).to_dict()


def test_choices_within_float32_rounding_are_one_choice() -> None:
    reference = np.array([[10.0, 10.0 - 1e-4, 0, 0]], np.float32)
    found = compare(reference, reference[:, [1, 0, 2, 3]], centre(reference))
    assert found.top1 == 1
    assert found.decided == 0


# Gates


def parity(precision: str, found: Difference, graph: Difference | None = None) -> Parity:
    paths = {"prefill": found, "decode": found}
    prompts = (PromptParity("", 20, paths, paths if graph is None else {"prefill": graph}, 20, 20),)
    return Parity(precision, "cpu", prompts, None, None)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "logits",
    [
        LOGITS * 0,
        -LOGITS,
        RANDOM.permuted(LOGITS, axis=1),
        np.roll(LOGITS, 1, 0),
        np.roll(LOGITS, 1, 1),
        LOGITS * math.nan,
    ],
    ids=["zeros", "negated", "unrelated", "next position's", "next token's", "NaN"],
)
def test_garbage_fails_every_gate(precision: str, logits: np.ndarray) -> None:
    assert not parity(precision, difference(logits)).passed


@pytest.mark.parametrize(("precision", "noise"), [("fp32", 1e-5), ("fp16", 3e-3), ("int8", 0.03), ("int4", 0.03)])
def test_each_gate_lets_rounding_of_its_precision_pass(precision: str, noise: float) -> None:
    found = parity(precision, difference(LOGITS + noise * RANDOM.normal(size=LOGITS.shape)))
    assert found.passed, found.faults
    coarser = parity(precision, difference(LOGITS + 40 * noise * RANDOM.normal(size=LOGITS.shape)))
    assert not coarser.passed


def test_an_unsure_reference_binds_the_graph_but_not_the_weights() -> None:
    """Random weights of full size: int4 loses most of the little that they say (see youtu_onnx/verify/parity.py)."""
    flat = LOGITS / 6
    coarse = difference(flat + flat.std() * 1.2 * RANDOM.normal(size=flat.shape), flat)
    right = difference(flat + flat.std() * 0.05 * RANDOM.normal(size=flat.shape), flat)
    assert coarse.kl_share > 0.5
    found = parity("int4", coarse, graph=right)
    assert not found.confident
    assert found.passed, found.faults
    assert not parity("int4", coarse, graph=coarse).passed


def test_a_confident_reference_binds_the_weights_too() -> None:
    sharp = LOGITS * 3
    coarse = difference(sharp + sharp.std() * RANDOM.normal(size=sharp.shape), sharp)
    found = parity("int4", coarse, graph=difference(sharp, sharp))
    assert found.confident
    assert any("checkpoint's weights" in fault for fault in found.faults)


def test_nothing_compared_is_not_passed() -> None:
    assert not Parity("int4", "cpu", (), None, None).passed


# Bundles of youtu-nano


@pytest.fixture(scope="module")
def nano() -> Checkpoint:
    return Checkpoint.open("youtu-nano")


@pytest.fixture
def copied(nano_bundle: NanoBundle, tmp_path: Path) -> Callable[..., Path]:
    """A bundle of one's own, in a folder with a difficult name."""

    def copy(precision: str = "int4") -> Path:
        return shutil.copytree(nano_bundle(precision), tmp_path / "José 模型" / precision)

    return copy


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """Make the manifest agree with the files as they are now."""
    manifest = Manifest.read(folder / names.MANIFEST)
    files = {name: describe_file(folder / name) for name in manifest.files}
    (folder / names.MANIFEST).write_text(replace(manifest, files=files, **changes).to_json(), encoding="utf-8")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_youtu_nano_equals_pytorch(nano_bundle: NanoBundle, nano: Checkpoint, precision: str) -> None:
    found = verify_parity(nano_bundle(precision), nano)
    assert found.passed, found.faults
    assert found.confident, "a trained model: the gates on KL apply"
    assert set(found.paths) == set(PATHS)
    assert len(found.prompts) == 9
    assert found.greedy_agreement >= {"fp32": 1, "fp16": 0.99, "int8": 0.97, "int4": 0.9}[precision]
    assert set(found.graph) == set(PATHS)
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
    monkeypatch.setattr(verify_module, "_compare", check)
    with pytest.raises(KeyboardInterrupt):
        verify_parity(nano_bundle(), nano)


def test_rounding_follows_the_recipe(nano_bundle: NanoBundle, nano: Checkpoint) -> None:
    manifest = Bundle.open(nano_bundle("int4")).manifest
    embedding = nano.tensor("model.embed_tokens.weight")

    def levels(changed: Manifest, name: str) -> int:
        """Different numbers in the first block of the first row."""
        apply = rounding(changed, nano.tensor)
        assert apply is not None
        return len(set(apply(name, embedding)[0, : changed.recipe.block_size].tolist()))

    assert levels(manifest, "lm_head.weight") == levels(manifest, "model.embed_tokens.weight") <= 16
    excepted = replace(manifest, recipe=replace(manifest.recipe, int8=("lm_head",)))
    assert levels(excepted, "lm_head.weight") > 16
    norm = nano.tensor("model.norm.weight")
    assert rounding(manifest, nano.tensor)("model.norm.weight", norm).equal(norm.float())
    assert rounding(replace(manifest, recipe=replace(manifest.recipe, precision="fp16")), nano.tensor) is None


# The graph alone


def outcome(folder: Path) -> dict[str, tuple[bool | None, str]]:
    return {check.name: (check.passed, check.detail) for check in check_graph(Bundle.open(folder))}


@pytest.mark.parametrize(("precision", "cache"), [("int4", "latent"), ("fp16", "latent"), ("int4", "expanded")])
def test_sound_graphs_pass(nano_bundle: NanoBundle, precision: str, cache: str) -> None:
    found = outcome(nano_bundle(precision, cache))
    assert set(found) == {"external data", "load", "interface", "run"}
    assert all(passed for passed, _ in found.values()), found


def test_a_cache_layout_that_the_graph_does_not_have(copied: Callable[..., Path]) -> None:
    folder = copied()
    layout = Manifest.read(folder / names.MANIFEST).cache
    rewrite_manifest(folder, cache=replace(layout, tensors=tuple(replace(one, width=one.width + 1) for one in layout.tensors)))
    passed, detail = outcome(folder)["interface"]
    assert passed is False
    assert "past_key_values.0.key has shape" in detail


def test_weights_that_end_early(copied: Callable[..., Path]) -> None:
    folder = copied()
    with (folder / names.MODEL_DATA).open("r+b") as stream:
        stream.truncate(100_000)
    rewrite_manifest(folder)
    found = outcome(folder)
    assert found["external data"][0] is False
    assert "of 100000" in found["external data"][1]
    assert found["load"][0] is False


def test_logits_that_are_not_finite(copied: Callable[..., Path]) -> None:
    folder = copied("fp32")
    data = folder / names.MODEL_DATA
    data.write_bytes(b"\xff" * data.stat().st_size)  # every float32 is NaN
    rewrite_manifest(folder)
    passed, detail = outcome(folder)["run"]
    assert passed is False
    assert "NaN" in detail


def test_without_onnx_the_rest_is_still_checked(nano_bundle: NanoBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    found = outcome(nano_bundle())
    assert found.pop("external data") == (None, "not checked: needs onnx (pip install onnx)")
    assert all(passed for passed, _ in found.values())


# The command


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "youtu_onnx.cli", "verify", *map(str, arguments)], capture_output=True, text=True, encoding="utf-8"
    )


def test_command_compares_with_the_checkpoint(nano_bundle: NanoBundle) -> None:
    ended = command(nano_bundle(), "--model", "youtu-nano", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["passed"]
    assert report["parity"]["greedy_agreement"] > 0.9
    assert "compare with PyTorch" in ended.stderr


def test_command_without_a_checkpoint(copied: Callable[..., Path]) -> None:
    ended = command(copied())
    assert ended.returncode == 0, ended.stderr
    assert "all SHA-256 agree" in ended.stdout
    assert "name the checkpoint with --model" in ended.stdout


def test_command_names_every_damaged_file_and_exits_3(copied: Callable[..., Path]) -> None:
    folder = copied()
    data = bytearray((folder / names.MODEL_DATA).read_bytes())
    data[-1] ^= 1
    (folder / names.MODEL_DATA).write_bytes(data)
    (folder / names.TOKENIZER).unlink()
    ended = command(folder, "--json")
    assert ended.returncode == 3
    [check] = json.loads(ended.stdout)["checks"]
    assert names.MODEL_DATA in check["detail"]
    assert f"{names.TOKENIZER}: missing" in check["detail"]


def test_command_on_what_is_no_bundle(tmp_path: Path) -> None:
    ended = command(tmp_path)
    assert ended.returncode == BundleError.exit_code
    assert "is not a bundle" in ended.stderr
    assert not ended.stdout


def test_command_needs_no_torch_without_a_checkpoint(nano_bundle: NanoBundle) -> None:
    script = f"""if True:
        import sys
        for name in ("torch", "transformers", "onnx", "onnx_ir", "safetensors"):
            sys.modules[name] = None
        from youtu_onnx.cli import main
        sys.exit(main(["verify", {str(nano_bundle())!r}]))
    """
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
