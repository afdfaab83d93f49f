"""Checkpoints that are quantized already: their integers are the bundle's, and the bundle computes what they mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.exported import Graph, export_tiny, load, nodes, reference, reference_logits, session
from tests.packed_formats import CONFIG, Made, Matrix, Tensors, awq, gptq, pack_quantized, packed_checkpoint, rounded, scheme
from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.exporters.prequantized.columns import Columns, columns_of
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.stored import StoredGraph

IDS = np.random.default_rng(0).integers(0, CONFIG["vocab_size"], (1, 24))
INT4 = Recipe(precision="int4", int8=("lm_head", "model.embed_tokens"))


@dataclass(frozen=True)
class Case:
    """How a checkpoint is rounded and written."""

    said: dict[str, Any]
    matrix: Callable[[str, torch.Tensor], Matrix]
    write: Callable[[str, Matrix], Tensors]
    but: tuple[str, ...] = ()


def of(size: int, *, symmetric: bool = False, bits: int = 4) -> Callable[[str, torch.Tensor], Matrix]:
    return lambda stem, weight: rounded(weight, size, symmetric=symmetric, bits=bits)


def by_activations(stem: str, weight: torch.Tensor) -> Matrix:
    """Groups of columns that lie apart, the same ones in matrices of one input."""
    place = 1 if "proj_with_mqa" in stem or "q_a" in stem else 2 if "gate" in stem or "up_proj" in stem else 3
    order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(place + 10 * int(stem.split(".")[2])))
    return rounded(weight, 32, order=order)


def gptq_says(**more: Any) -> dict[str, Any]:
    return {"quant_method": "gptq", "bits": 4, "group_size": 32} | more


CASES = {
    "GPTQ": Case(gptq_says(sym=False), of(32), gptq),
    "GPTQ, second version, symmetric": Case(
        gptq_says(checkpoint_format="gptq_v2", sym=True), of(32, symmetric=True), lambda stem, one: gptq(stem, one, version=2)
    ),
    "GPTQ, desc_act": Case(gptq_says(desc_act=True), by_activations, gptq),
    "GPTQ, whole rows": Case(gptq_says(group_size=-1), of(-1), gptq),
    "GPTQ, 8 bits": Case(gptq_says(bits=8), of(32, bits=8), gptq),
    "AWQ": Case({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}, of(32), awq),
    "compressed-tensors": Case(scheme(size=32), of(32), pack_quantized),
    "compressed-tensors, symmetric, whole rows": Case(
        scheme(size=-1, symmetric=True), of(-1, symmetric=True), lambda stem, one: pack_quantized(stem, one, symmetric=True)
    ),
    "AutoRound as GPTQ, kv_a_proj a float": Case(
        {"quant_method": "auto-round", "bits": 4, "group_size": 32, "packing_format": "auto_round:auto_gptq"},
        of(32),
        lambda stem, one: gptq(stem, one, g_idx=False),
        but=("kv_a_proj",),
    ),
    "AutoRound without the offset": Case(
        {"quant_method": "auto-round", "bits": 4, "group_size": 32, "packing_format": "auto_round:gptqmodel"},
        of(32),
        lambda stem, one: gptq(stem, one, version=2),
    ),
    "AutoRound as AWQ": Case(
        {"quant_method": "auto-round", "bits": 4, "group_size": 32, "packing_format": "auto_round:auto_awq"}, of(32), awq
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Path, Manifest]:
    """A checkpoint and its bundle, with keys and values cached: kv_b_proj is then a matrix like others."""
    one = CASES[request.param]
    folder = tmp_path_factory.mktemp("packed")
    made = packed_checkpoint(folder / "checkpoint", one.said, one.matrix, one.write, but=one.but)
    return made, folder / "bundle", export_tiny(made.folder, folder / "bundle", INT4, form="expanded")


def stored(folder: Path) -> StoredGraph:
    return StoredGraph(load(folder).graph, folder)


def codes(graph: StoredGraph, name: str, bits: int) -> np.ndarray:
    """``[N,K]`` as the data file has them, by MatMulNBits' definition."""
    packed = graph.array(f"{name}.weight_q{bits}")
    flat = packed.reshape(len(packed), -1)
    return flat if bits == 8 else np.stack([flat & 15, flat >> 4], -1).reshape(len(flat), -1)


def test_floats_are_what_the_format_says(case: tuple[Made, Path, Manifest]) -> None:
    made, _, _ = case
    checkpoint = Checkpoint.open(made.folder)
    assert {name.removesuffix(".weight") for name in checkpoint.packed} == set(made.matrices)
    for name, wanted in made.floats.items():
        assert torch.equal(checkpoint.tensor(name).float(), wanted), name
        assert torch.equal(checkpoint.rows(name, 3, 9).float(), wanted[3:9]), name


def test_integers_are_those_of_the_file(case: tuple[Made, Path, Manifest]) -> None:
    made, folder, _ = case
    graph = stored(folder)
    for stem, matrix in made.matrices.items():
        if stem.endswith(("o_proj", "down_proj")):  # whose rows stay where they are
            order = torch.argsort(matrix.groups, stable=True)
            found = codes(graph, stem, matrix.bits)
            assert np.array_equal(found[:, : len(order)], matrix.codes[:, order].numpy()), stem
            scales = graph.array(f"{stem}.weight_scales")
            block = found.shape[1] // scales.shape[1]
            assert np.array_equal(scales, matrix.scales.float()[:, matrix.groups[order].long()[::block]].numpy()), stem
        else:
            matches_rows(graph, stem, matrix)


def matches_rows(graph: StoredGraph, stem: str, matrix: Matrix) -> None:
    """Every row of the file is somewhere in the matrix that it went into."""
    fused = {"q_a_proj": "qkv_a_proj", "kv_a_proj_with_mqa": "qkv_a_proj", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}
    before, _, own = stem.rpartition(".")
    order = torch.argsort(matrix.groups, stable=True)
    found = {row.tobytes() for row in codes(graph, f"{before}.{fused.get(own, own)}", matrix.bits)[:, : len(order)]}
    assert {row.numpy().tobytes() for row in matrix.codes[:, order]} <= found, stem


def test_the_bundle_has_the_numbers_in_their_places(case: tuple[Made, Path, Manifest]) -> None:
    made, folder, manifest = case
    checkpoint = Checkpoint.open(made.folder)
    twin = reference_of(checkpoint.family).twin(stored(folder), manifest.cache, checkpoint)
    for stem in made.matrices:
        found, wanted = twin.tensor(f"{stem}.weight"), made.floats[f"{stem}.weight"]
        assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-7), stem


def test_logits_are_those_of_transformers(case: tuple[Made, Path, Manifest]) -> None:
    made, folder, manifest = case
    checkpoint = Checkpoint.open(made.folder)
    twin = reference_of(checkpoint.family).twin(stored(folder), manifest.cache, checkpoint)
    embedding = "model.embed_tokens.weight"
    floats = made.floats | {embedding: twin.tensor(embedding)}  # which nobody had quantized before
    if "kv_a_proj_with_mqa" not in str(made.matrices):
        floats |= {name: twin.tensor(name) for name in floats if "kv_a_proj" in name}
    model = load(folder)
    for node in nodes(model.graph):
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1  # activations stay float32
    graph = Graph.__new__(Graph)
    graph.session, graph.cache, graph.dtype = session(folder, model), manifest.cache, np.dtype(np.float32)
    logits, _ = graph.step(IDS, graph.empty(1))
    wanted = reference_logits(reference(CONFIG, floats), IDS)
    assert np.abs(logits - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize(("form", "target"), [("latent", "cpu"), ("latent-int8", "cpu"), ("latent", "webgpu"), ("latent", "dml")])
@pytest.mark.parametrize("name", ["GPTQ, desc_act", "compressed-tensors, symmetric, whole rows"])
def test_factors_go_into_scales_and_leave_codes_alone(tmp_path: Path, form: str, target: str, name: str) -> None:
    one = CASES[name]
    made = packed_checkpoint(tmp_path / "checkpoint", one.said, one.matrix, one.write)
    manifest = export_tiny(made.folder, tmp_path / "bundle", INT4, form=form, target=target)
    checkpoint, graph = Checkpoint.open(made.folder), stored(tmp_path / "bundle")
    twin = reference_of(checkpoint.family).twin(graph, manifest.cache, checkpoint)
    exact = 1e-6 if target == "cpu" else 1e-3  # scales are float16 there
    for stem, matrix in made.matrices.items():
        if not stem.endswith("kv_b_proj"):  # W_UK and W_UV
            wanted = made.floats[f"{stem}.weight"]
            matches_rows(graph, stem, matrix)
            off = (twin.tensor(f"{stem}.weight") - wanted).norm() / wanted.norm()
            assert off <= (0.02 if form == "latent-int8" and "q_b" in stem else exact), stem


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_other_precisions_are_those_of_the_floats(tmp_path: Path, precision: Any) -> None:
    one = CASES["GPTQ"]
    made = packed_checkpoint(tmp_path / "checkpoint", one.said, one.matrix, one.write)
    manifest = export_tiny(made.folder, tmp_path / "bundle", Recipe(precision=precision), form="expanded")
    graph = Graph(tmp_path / "bundle", manifest)
    logits, _ = graph.step(IDS, graph.empty(1))
    wanted = reference_logits(reference(CONFIG, made.floats), IDS)
    assert np.abs(logits - wanted).max() <= (1e-4 if precision == "fp32" else 0.1) * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("groups", "order", "block"),
    [
        ([0] * 32 + [1] * 32, None, 32),
        ([0] * 64, None, 256),
        ([0] * 128 + [1] * 100, None, 128),  # the last block is partly padding
        ([2] * 32 + [0] * 32 + [1] * 32, None, 32),  # whole runs that change places need no other order of columns
        ([0, 1] * 16, (*range(0, 32, 2), *range(1, 32, 2)), 16),
    ],
)
def test_blocks_of_groups(groups: list[int], order: tuple[int, ...] | None, block: int) -> None:
    assert columns_of(torch.tensor(groups)) == Columns(order, block)


@pytest.mark.parametrize("groups", [[0] * 24 + [1] * 24, [0] * 8 + [1] * 8, [0, 1, 2] * 8])
def test_groups_that_are_no_blocks(groups: list[int]) -> None:
    assert columns_of(torch.tensor(groups)) is None


def test_matrices_of_one_input_that_want_it_in_two_orders_are_refused(tmp_path: Path) -> None:
    def apart(stem: str, weight: torch.Tensor) -> Matrix:
        order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(len(stem)))
        return rounded(weight, 32, order=order)

    made = packed_checkpoint(tmp_path / "checkpoint", gptq_says(), apart, gptq)
    with pytest.raises(
        CheckpointError, match=r"kv_a_proj_with_mqa.weight are multiplied with one input.*in two orders"
    ) as caught:
        export_tiny(made.folder, tmp_path / "bundle", INT4)
    assert "--precision int8" in str(caught.value.hint)


def test_groups_that_make_no_blocks_are_refused(tmp_path: Path) -> None:
    made = packed_checkpoint(tmp_path / "checkpoint", gptq_says(group_size=8), of(8), gptq)
    with pytest.raises(CheckpointError, match="make no blocks of 16 to 256"):
        export_tiny(made.folder, tmp_path / "bundle", INT4)
