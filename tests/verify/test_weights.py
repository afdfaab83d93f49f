"""What a bundle stores is read back by the operators' definitions, and held against the checkpoint tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import onnx

from tests.exported import export_tiny
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from tests.verify.changed_bundle import rewrite_manifest, stored
from youtu_onnx import export
from youtu_onnx.cli import main
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.errors import BundleError, VerificationError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.exporters.calibration import Calibration
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Twin
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.stored import StoredGraph
from youtu_onnx.verify.weights import WeightReport, compare_weights

NanoBundle = Callable[..., Path]
LAYER = "model.layers.1."


def twin_of(folder: Path, checkpoint: Checkpoint) -> Twin:
    bundle = Bundle.open(folder)
    rescaled = bundle.manifest.recipe.rescaled
    return reference_of(checkpoint.family).twin(StoredGraph.open(bundle), bundle.manifest.cache, checkpoint, rescaled=rescaled)


def levels(weights: Twin, name: str, block: int) -> int:
    """Different numbers in the first block of the first row."""
    return len(set(weights.rows(name, 0, 1)[0, :block].tolist()))


def test_what_is_read_back_follows_the_recipe(nano_bundle: NanoBundle, nano: Checkpoint, tmp_path: Path) -> None:
    manifest = Bundle.open(nano_bundle("int4")).manifest
    block = manifest.recipe.block_size
    found = twin_of(nano_bundle("int4"), nano)
    assert levels(found, "lm_head.weight", block) == levels(found, "model.embed_tokens.weight", block) <= 16
    excepted = export("youtu-nano", tmp_path / "excepted", int8=("lm_head",), verify=False).bundle.path
    assert levels(twin_of(excepted, nano), "lm_head.weight", block) > 16
    norm = nano.tensor("model.norm.weight")
    assert found.tensor("model.norm.weight").equal(norm.float())
    halves = twin_of(nano_bundle("fp16"), nano)
    for name in ("model.norm.weight", "model.layers.1.mlp.down_proj.weight", "model.layers.3.self_attn.kv_b_proj.weight"):
        assert halves.tensor(name).equal(nano.tensor(name).half().float())


def report(folder: Path, checkpoint: Checkpoint, manifest: Manifest | None = None) -> WeightReport:
    manifest = manifest or Manifest.read(folder / names.MANIFEST)
    graph = StoredGraph(onnx.load(folder / names.MODEL, load_external_data=False).graph, folder)
    twin = reference_of(checkpoint.family).twin(graph, manifest.cache, checkpoint, rescaled=manifest.recipe.rescaled)
    return compare_weights(twin.comparisons(), checkpoint.tensors, graph.unread, lambda _: None)


# Right


ODD = CONFIG | {
    "hidden_size": 37,
    "intermediate_size": 51,
    "kv_lora_rank": 13,
    "q_lora_rank": 11,
    "qk_nope_head_dim": 7,
    "qk_rope_head_dim": 6,
    "v_head_dim": 5,
}
NO_LORA = ODD | {"q_lora_rank": None, "attention_bias": True}
CASES = {
    "int4 symmetric, int8 cache": (ODD, Recipe("int4", 256, True), "latent-int8", "cpu"),
    "int8 symmetric, int8 cache, biases": (NO_LORA, Recipe("int8", 32, True), "latent-int8", "cpu"),
    "int8 query beside int4 keys": (ODD, Recipe("int4", 32, int8=("*.q_b_proj", "lm_head")), "latent-int8", "cpu"),
    "expanded": (NO_LORA, Recipe("fp16"), "expanded", "cpu"),
    "webgpu": (NO_LORA, Recipe("int8", 32), "latent", "webgpu"),
    "webgpu, untied": (ODD | VARIANTS["untied"], Recipe("fp16"), "latent", "webgpu"),
    "static": (NO_LORA, Recipe("fp16"), "latent", "dml"),
    "yarn": (CONFIG | VARIANTS["yarn"], Recipe("fp32"), "latent", "cpu"),
    "llama3": (CONFIG | VARIANTS["llama3"], Recipe("fp32"), "latent", "cpu"),
    "longrope, tables": (CONFIG | VARIANTS["longrope"], Recipe("fp16"), "latent", "dml"),
    "yarn, tables": (CONFIG | VARIANTS["yarn"], Recipe("fp16"), "latent", "cuda"),
    "awq": (ODD, Recipe("int4", 32, algorithm="awq"), "latent-int8", "cpu"),
    "awq, expanded": (NO_LORA, Recipe("int4", 32, algorithm="awq"), "expanded", "cpu"),
    "awq, float16": (CONFIG, Recipe("int4", 32, algorithm="awq", int8=("*.up_proj",)), "latent", "webgpu"),
    "half-split rope": (CONFIG | VARIANTS["half-split rope"], Recipe("int4", 32), "latent-int8", "cpu"),
}


@pytest.mark.parametrize("case", CASES)
def test_random_checkpoints_of_odd_sizes_are_read_back(tmp_path: Path, case: str) -> None:
    config, recipe, form, target = CASES[case]
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "checkpoint", config))
    length = 16 if target == "dml" else None
    text = Calibration(checkpoint, [list(range(3, 60))], "sizes") if recipe.calibrated else None
    manifest = export_tiny(
        tmp_path / "checkpoint", tmp_path, recipe, target=target, form=form, max_length=length, calibration=text
    )
    found = report(tmp_path, checkpoint, manifest)
    assert not found.faults
    assert max(one.steps for one in found.tensors) <= (0.6 if recipe.searches_scales else 0.51), (
        "factors are known but for rounding"
    )
    assert {one.name for one in found.tensors} >= set(checkpoint.tensors)


@pytest.mark.parametrize("change", ["gain", "W_UK", "pair"])
def test_what_is_multiplied_by_zeros_may_be_anything(tmp_path: Path, change: str) -> None:
    tensors = random_tensors(CONFIG)
    attention = f"{LAYER}self_attn."
    match change:
        case "gain":
            tensors[f"{attention}kv_a_layernorm.weight"][::3] = 0
        case "W_UK":
            tensors[f"{attention}kv_b_proj.weight"][1:5] = 0
        case "pair":
            tensors[f"{attention}kv_a_proj_with_mqa.weight"][CONFIG["kv_lora_rank"] :][2:4] = 0
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "checkpoint", CONFIG, tensors))
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path, Recipe("int4", 32), form="latent-int8")
    assert not report(tmp_path, checkpoint, manifest).faults


# Wrong


def swap_scales(folder: Path) -> str:
    """Of the rows of o_proj whose scales differ most."""
    scales = stored(folder, f"{LAYER}self_attn.o_proj.weight_scales")
    one, other = scales.max(1).argmin(), scales.max(1).argmax()
    scales[[one, other]] = scales[[other, one]]
    return f"{LAYER}self_attn.o_proj.weight"


def swap_layers(folder: Path) -> str:
    one, other = (stored(folder, f"model.layers.{layer}.mlp.down_proj.weight_q4") for layer in (1, 2))
    one[:], other[:] = other.copy(), one.copy()
    return f"{LAYER}mlp.down_proj.weight"


def perturb_a_zero_point(folder: Path) -> str:
    """One of them, by one."""
    zeros = stored(folder, "lm_head.weight_zero_points")
    zeros[77, 0] += 1 if zeros[77, 0] & 15 < 15 else -1
    return "model.embed_tokens.weight: row 77 is"


def interleave_rope(folder: Path) -> str:
    """Rotated dimensions in the checkpoint's order, consistently: as if nobody had reordered them."""
    for name, bits, rows in (("q_b_proj", "q4", slice(8 * 32, None)), ("qkv_a_proj", "q8", slice(-16, None))):
        for piece in (bits, "scales", "zero_points"):
            part = stored(folder, f"{LAYER}self_attn.{name}.weight_{piece}")[rows]
            halves = part.copy().reshape(-1, 2, 8, *part.shape[1:])
            part[:] = halves.swapaxes(1, 2).reshape(part.shape)
    return f"{LAYER}self_attn.q_b_proj.weight"


def forget_a_factor(folder: Path) -> str:
    """That of one row of W_UK, which its row of the query has."""
    stored(folder, f"{LAYER}self_attn.q_b_proj.weight_scales")[9] *= 2
    return f"{LAYER}self_attn."


def shift_offsets(folder: Path) -> str:
    stored(folder, f"{LAYER}self_attn.heads.w_uv_offsets")[0, 0, 5] += 128
    return f"{LAYER}self_attn.heads.w_uv_offsets"


FAULTS = [swap_scales, swap_layers, perturb_a_zero_point, interleave_rope, forget_a_factor, shift_offsets]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("cache", ["latent", "latent-int8"])
def test_a_fault_is_found_and_named(
    copied: Callable[..., Path], nano: Checkpoint, fault: Callable[[Path], str], cache: str
) -> None:
    folder = copied("int4", cache)
    assert not report(folder, nano).faults
    where = fault(folder)
    assert any(found.startswith(where) for found in report(folder, nano).faults)


@pytest.mark.parametrize(
    "fault", [swap_scales, swap_layers, perturb_a_zero_point, interleave_rope], ids=lambda fault: fault.__name__
)
def test_a_fault_fails_verification(
    copied: Callable[..., Path], capsys: pytest.CaptureFixture[str], fault: Callable[[Path], str]
) -> None:
    folder = copied()
    where = fault(folder)
    rewrite_manifest(folder)
    assert main(["verify", str(folder), "--model", "youtu-nano", "--json"]) == VerificationError.exit_code == 3
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"]
    [check] = [check for check in found["checks"] if check["name"] == "weights"]
    assert check["passed"] is False
    assert where in check["detail"]


def test_a_weight_that_belongs_to_nothing_is_named(copied: Callable[..., Path], nano: Checkpoint) -> None:
    folder = copied("fp32")
    model = onnx.load(folder / names.MODEL, load_external_data=False)
    model.graph.initializer.add(name="stray", data_type=1, dims=[1], data_location=1).external_data.add(key="offset", value="64")
    onnx.save(model, folder / names.MODEL)
    assert report(folder, nano).faults == ("stray: nothing of the model is stored there",)


def test_a_tensor_that_is_gone_is_said_so(copied: Callable[..., Path], nano: Checkpoint) -> None:
    folder = copied("fp32")
    model = onnx.load(folder / names.MODEL, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("layers.2.mlp.down_proj", "somewhere")
    onnx.save(model, folder / names.MODEL)
    with pytest.raises(BundleError, match=r"no operator multiplies by model.layers.2.mlp.down_proj.weight"):
        report(folder, nano)


def test_only_the_first_faults_are_listed(nano_bundle: NanoBundle, tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    write_checkpoint(tmp_path / "one", CONFIG, tensors)
    manifest = export_tiny(tmp_path / "one", tmp_path, Recipe("fp32"))
    other = Checkpoint.open(write_checkpoint(tmp_path / "other", CONFIG, random_tensors(CONFIG, seed=1)))
    found = report(tmp_path, other, manifest)
    assert len(found.faults) == 9
    assert found.faults[-1] == f"… and {len(other.tensors) + 1 - 8} more weights"
