"""Graphs of all kinds with native operators in them compute what they computed before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.exported import Graph, export_tiny
from tests.tiny_checkpoint import CONFIG, VARIANTS, write_checkpoint
from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import ProviderError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.native.rewriting import rewrite

IDS = np.array([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]]) + 4


@pytest.fixture(scope="module")
def installed() -> library.Library:
    try:
        return library.load()
    except ProviderError as error:
        pytest.skip(f"needs pip install ./native: {error.message}")


def native(graph: Graph, folder: Path, installed: library.Library) -> Graph:
    """The same graph with native operators."""
    rewritten = rewrite(folder / names.MODEL)
    assert rewritten is not None
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.register_custom_ops_library(str(installed.path))
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    made = object.__new__(Graph)
    made.session = ort.InferenceSession(rewritten.model, options, providers=["CPUExecutionProvider"])
    made.cache, made.dtype = graph.cache, graph.dtype
    return made


def steps(graph: Graph) -> np.ndarray:
    """Logits of a prompt, of a token behind it, and of several."""
    first, past = graph.step(IDS, graph.empty(1))
    second, past = graph.step(IDS[:, :1], past)
    third, _ = graph.step(np.tile(IDS, 6)[:, :67], past)
    return np.concatenate([first, second, third], 1)


@pytest.mark.parametrize(
    ("variant", "form"),
    [
        *((variant, "latent") for variant in VARIANTS),
        ("default", "latent-fp16"),
        ("default", "latent-int8"),
        ("no q_lora", "latent-int8"),
    ],
)
def test_every_kind_of_checkpoint(tmp_path: Path, installed: library.Library, variant: str, form: str) -> None:
    write_checkpoint(tmp_path / "checkpoint", CONFIG | VARIANTS[variant])
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path / "bundle", Recipe("int4", 32), form=form)
    graph = Graph(tmp_path / "bundle", manifest)
    ours = native(graph, tmp_path / "bundle", installed)
    a, b = steps(ours), steps(graph)
    assert np.linalg.norm(a - b) < 0.05 * np.linalg.norm(b)


def test_a_layer_is_six_operators(nano_bundle: Callable[..., Path]) -> None:
    rewritten = rewrite(nano_bundle("int4") / names.MODEL)
    assert rewritten is not None
    graph = onnx.load_model_from_string(rewritten.model).graph
    layers = {node.name.split(".")[2] for node in graph.node if ".layers." in node.name}
    within = [node.op_type for node in graph.node if ".layers." in node.name]
    assert len(within) == 6 * len(layers) and set(within) == {"Linear", "LatentAttention"}
    assert rewritten.operators == {"Linear": 5 * len(layers) + 1, "LatentAttention": len(layers)}


def test_weights_stay_outside_the_model(nano_bundle: Callable[..., Path]) -> None:
    path = nano_bundle("int4")
    rewritten = rewrite(path / names.MODEL)
    assert rewritten is not None and len(rewritten.model) < (path / names.MODEL).stat().st_size


def test_a_graph_with_inputs_for_adapters_keeps_them(tmp_path: Path, installed: library.Library) -> None:
    write_checkpoint(tmp_path / "checkpoint")
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path / "bundle", Recipe("int4", 32), adaptable=True)
    graph = Graph(tmp_path / "bundle", manifest)
    ours = native(graph, tmp_path / "bundle", installed)
    names_of = [{one.name for one in g.session.get_overridable_initializers()} for g in (graph, ours)]
    assert names_of[0] == names_of[1] != set()
    a, b = steps(ours), steps(graph)
    assert np.linalg.norm(a - b) < 0.05 * np.linalg.norm(b)


def test_products_of_floats_are_left_alone(tmp_path: Path, nano_bundle: Callable[..., Path]) -> None:
    """MatMulNBits with accuracy level 1 asks for sums of floats."""
    model = onnx.load(nano_bundle("int4") / names.MODEL, load_external_data=False)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1
    onnx.save(model, tmp_path / "model.onnx")
    rewritten = rewrite(tmp_path / "model.onnx")
    assert rewritten is not None and set(rewritten.operators) == {"LatentAttention"}


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a\x12\x03abc"])
def test_what_is_no_graph_is_left_to_onnxruntime(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert rewrite(tmp_path / "model.onnx") is None


def test_a_graph_that_was_cut_anywhere_is_rewritten_or_left(tmp_path: Path, nano_bundle: Callable[..., Path]) -> None:
    """Nodes that lack inputs, outputs or attributes: whoever wrote them, nothing breaks."""
    model = onnx.load(nano_bundle("int4") / names.MODEL, load_external_data=False)
    for which in ("input", "output", "attribute"):
        for place in range(0, len(model.graph.node), 7):
            broken = onnx.ModelProto.FromString(model.SerializeToString())
            del getattr(broken.graph.node[place], which)[:]
            onnx.save(broken, tmp_path / "model.onnx")
            rewrite(tmp_path / "model.onnx")
