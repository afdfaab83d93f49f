"""What the exported graph looks like: names, shapes, sharing, and each target's rules."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tests.exported import Graph, export_tiny, load, nodes, reference, reference_logits  # noqa: E402
from tests.kept_traces import InFiles, keeping  # noqa: E402
from tests.tiny_checkpoint import CONFIG, random_tensors, write_checkpoint  # noqa: E402
from youtu_onnx.core.bundle import FileEntry, names  # noqa: E402
from youtu_onnx.core.errors import UsageError  # noqa: E402
from youtu_onnx.core.recipe import Recipe  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.youtu.graph.exportable import YOUTU_GRAPHS  # noqa: E402
from youtu_onnx.graphs.static_reshape import constant_sizes  # noqa: E402
from youtu_onnx.graphs.traces import InMemory  # noqa: E402

WIDE = CONFIG | {"hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 32, "q_lora_rank": 48}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("wide"), WIDE, random_tensors(WIDE))


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """Exports are made once per set of options."""
    made = {}

    def get(recipe: Recipe, target: str = "cpu", form: str = "latent"):
        key = (recipe, target, form)
        if key not in made:
            folder = tmp_path_factory.mktemp("graph")
            made[key] = folder, export_tiny(checkpoint, folder, recipe, target=target, form=form)
        return made[key]

    return get


def operators(folder: Path) -> Counter[str]:
    """Of the graph and of its branches."""
    return Counter(node.op_type for node in nodes(load(folder).graph))


def regions(folder: Path) -> dict[str, tuple[int, int]]:
    """Initializer → offset and length in the data file."""
    found = {}
    for tensor in load(folder).graph.initializer:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if where:
            assert where["location"] == "model.onnx.data"
            found[tensor.name] = int(where["offset"]), int(where["length"])
    return found


def test_inputs_and_outputs_are_what_genai_asks_for(exported):
    folder, _ = exported(Recipe("fp32"))
    graph = load(folder).graph

    def spell(values):
        return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    batch, new, past, total = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"
    width = WIDE["kv_lora_rank"] + WIDE["qk_rope_head_dim"]
    assert spell(graph.input) == {
        "input_ids": [batch, new],
        "attention_mask": [batch, total],
        "position_ids": [batch, new],
        **{f"past_key_values.{i}.{kind}": [batch, 1, past, width] for i in range(2) for kind in ("key", "value")},
    }
    assert spell(graph.output) == {
        "logits": [batch, new, WIDE["vocab_size"]],
        **{f"present.{i}.{kind}": [batch, 1, total, width] for i in range(2) for kind in ("key", "value")},
    }


@pytest.mark.parametrize("file", ["model.onnx", "batch.onnx"])
def test_onnx_runtime_has_nothing_to_warn_of(nano_bundle, file: str) -> None:
    """With its own options, as a first program of one's own has them."""
    program = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    path = nano_bundle() / file
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout + done.stderr == ""


def test_genai_config_counts_pairs(exported):
    folder, manifest = exported(Recipe("fp32"))
    decoder = json.loads((folder / "genai_config.json").read_text())["model"]["decoder"]
    assert decoder["num_hidden_layers"] == 2 == len(manifest.cache.tensors) // 2
    assert decoder["num_key_value_heads"] == 1 and decoder["head_size"] == manifest.cache.tensors[0].width
    expanded, _ = exported(Recipe("fp32"), form="expanded")
    assert not (expanded / "genai_config.json").exists()


def test_nothing_of_the_exporting_machine_is_in_the_graph(exported):
    folder, _ = exported(Recipe("int4", 32))
    contents = (folder / "model.onnx").read_bytes()
    for trace in (b"site-packages", b".py", str(Path.home()).encode(), str(Path(__file__).parents[2]).encode()):
        assert trace not in contents


def test_layers_share_their_shapes_and_reshape_to_constants(exported):
    folder, _ = exported(Recipe("fp32"))
    graph = load(folder).graph
    constants = {tensor.name for tensor in graph.initializer}
    assert all(node.input[1] in constants for node in nodes(graph) if node.op_type == "Reshape")
    lengths = [node for node in nodes(graph) if node.op_type == "Shape"]
    branch = [node for node in lengths if "/Shape" in node.name and "expanded." in node.name]
    assert len(lengths) - len(branch) == 3, "only the mask and the choice between the branches need lengths"


def test_constant_sizes():
    assert constant_sizes(["b", "s", 96], ["b", "s", 6, 16]) == [0, 0, 6, 16]
    assert constant_sizes(["b", 6, "s", 16], ["b", 1, "6*s", 16]) == [0, 1, -1, 16]
    assert constant_sizes(["b", 1, "6*s", "t"], ["b", 6, "s", "t"]) == [0, 6, -1, 0]
    assert constant_sizes(["b*s", 8], ["b", "s", 8]) is None


def test_tied_weights_are_stored_once(exported):
    for recipe in (Recipe("fp32"), Recipe("int4", 32), Recipe("int8", 32)):
        folder, _ = exported(recipe)
        size = WIDE["vocab_size"] * WIDE["hidden_size"]
        stored = {"fp32": 4 * size, "int8": size, "int4": size // 2}[recipe.precision]
        assert sum(length == stored for _, length in set(regions(folder).values())) == 1


def test_regions_do_not_overlap_and_are_aligned(exported):
    folder, manifest = exported(Recipe("int4", 32))
    spans = sorted(set(regions(folder).values()))
    for (start, length), (following, _) in itertools.pairwise(spans):
        assert start + length <= following
    assert all(start % 64 == 0 for start, _ in spans)
    assert spans[-1][0] + spans[-1][1] == manifest.files["model.onnx.data"].size == (folder / "model.onnx.data").stat().st_size


@pytest.mark.slow
def test_exports_are_reproducible(checkpoint, tmp_path):
    """Traced again or kept in files; another recipe's passes leave nothing behind in a trace that they share."""

    def files(name: str, precision: str = "int4") -> dict[str, FileEntry]:
        return dict(export_tiny(checkpoint, tmp_path / name, Recipe(precision, 32), batch=True).files)

    assert isinstance(YOUTU_GRAPHS.traces, InFiles)
    first = files("first")
    assert names.BATCH in first
    files("another", "int8")
    assert files("shared") == first
    with keeping(InMemory(most=8)):
        assert files("traced again") == first
        files("another again", "int8")
        assert files("shared again") == first


@pytest.mark.parametrize(("precision", "times"), [("fp32", 1), ("int8", 3)])
def test_the_heads_of_a_layer_are_read_once(checkpoint, tmp_path, monkeypatch, precision, times):
    """And once more for the query, where their integers' scales go, and where the model is asked for the sizes of inputs."""
    read, tensor = Counter(), Checkpoint.tensor

    def counted(self: Checkpoint, name: str) -> torch.Tensor:
        read[name] += 1
        return tensor(self, name)

    monkeypatch.setattr(Checkpoint, "tensor", counted)
    export_tiny(checkpoint, tmp_path, Recipe(precision, 32))
    assert [read[f"model.layers.{layer}.self_attn.kv_b_proj.weight"] for layer in range(3)] == [times] * 3


def test_target_rules(exported):
    rules = (("cpu", False, True), ("cuda", False, True), ("webgpu", True, True))  # dml's are in test_static_cache.py
    for target, zero_points, gather in rules:
        folder, manifest = exported(Recipe("int4", 32, symmetric=True), target)
        counts = operators(folder)
        assert bool(counts["GatherBlockQuantized"]) == gather
        nodes = [node for node in load(folder).graph.node if node.op_type == "MatMulNBits"]
        assert all((len(node.input) > 3) == zero_points for node in nodes)
        assert manifest.cache.dtype == ("float32" if target == "cpu" else "float16")
        assert bool(counts["MatMulIntegerToFloat"]) == bool(counts["If"]) == (target == "cpu")


def test_asymmetric_int4_has_zero_points_everywhere(exported):
    nodes = [n for n in load(exported(Recipe("int4", 32))[0]).graph.node if n.op_type in ("MatMulNBits", "GatherBlockQuantized")]
    assert nodes and all(len(node.input) == 4 for node in nodes)


@pytest.mark.parametrize(("precision", "bits"), [("int4", 4), ("int8", 8)])
@pytest.mark.parametrize("block_size", [16, 64, 256])
def test_block_sizes_that_do_not_divide_the_width(checkpoint, tmp_path, precision, bits, block_size):
    """The embedding and the head agree with the weights rounded by hand, padding or not."""
    manifest = export_tiny(checkpoint, tmp_path, Recipe(precision, block_size, symmetric=block_size == 64))
    graph = Graph(tmp_path, manifest)
    ids = np.arange(3, 23)[None]
    logits = graph.step(ids, graph.empty(1))[0]
    assert np.isfinite(logits).all()
    # The order of float sums depends on the number of rows, and a last bit decides some roundings of activations to int8.
    assert np.sqrt(((logits - graph.chunks(ids, 1)) ** 2).mean()) < 0.02 * logits.std()
    expected = reference_logits(reference(WIDE, random_tensors(WIDE)), ids)
    worst = 0.08 if bits == 8 else 0.75
    assert np.sqrt(((logits - expected) ** 2).mean()) < worst * expected.std()


def test_exceptions_stay_at_eight_bits(exported):
    folder, manifest = exported(Recipe("int4", 32, int8=("lm_head", "*.o_proj", "model.layers.0.mlp.*")))
    bits = {
        node.input[1].removesuffix("_q8").removesuffix("_q4"): attribute.i
        for node in load(folder).graph.node
        if node.op_type == "MatMulNBits"
        for attribute in node.attribute
        if attribute.name == "bits"
    }
    eight = {name for name, width in bits.items() if width == 8}
    assert eight == {
        "lm_head.weight",
        *(f"model.layers.{i}.self_attn.o_proj.weight" for i in range(3)),
        "model.layers.0.mlp.gate_up_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
    }
    assert sum(count for label, count in manifest.tensors.items() if label.startswith("int8 block")) == len(eight)


def test_an_exception_without_effect_is_refused(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="no_such_layer"):
        export_tiny(checkpoint, tmp_path, Recipe("int4", 32, int8=("no_such_layer",)))


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_batch_is_its_rows_whatever_the_precision(exported, precision):
    """Activations are quantized row by row, so no prompt's logits depend on its neighbours."""
    folder, manifest = exported(Recipe(precision, 32))
    graph = Graph(folder, manifest)
    ids = np.random.default_rng(0).integers(3, 131, (3, 12))
    together = graph.step(ids, graph.empty(3))[0]
    for row in range(3):
        alone = graph.step(ids[row : row + 1], graph.empty(1))[0]
        assert np.abs(together[row] - alone[0]).max() < 1e-4
