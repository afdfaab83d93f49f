"""Graphs for the CPU are opened without ONNX Runtime's optimizer, since it would find nothing to do in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest

from runtimes import providers
from runtimes.ort import session_options
from youtu_onnx.bundle import Bundle, names

Levels = ort.GraphOptimizationLevel


def operators_after(bundle: Path, level: Levels, folder: Path) -> Counter[str]:
    """Operators of the graph that a session ends up with, branches included."""
    folder.mkdir()
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(folder / names.MODEL)
    for name, value in (("file_name", names.MODEL_DATA), ("min_size_in_bytes", "1024")):
        options.add_session_config_entry(f"session.optimized_model_external_initializers_{name}", value)
    ort.InferenceSession(bundle / names.MODEL, options, providers=["CPUExecutionProvider"])
    found: Counter[str] = Counter()

    def count(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            found[node.op_type] += 1
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    count(attribute.g)

    count(onnx.load(folder / names.MODEL, load_external_data=False).graph)
    return found


@pytest.mark.parametrize(("precision", "cache"), [("int4", "latent"), ("int4", "latent-int8"), ("int8", "latent"),
                                                  ("fp32", "latent")])
def test_the_optimizer_changes_nothing(nano_bundle: Callable[..., Path], tmp_path: Path, precision: str, cache: str) -> None:
    bundle = nano_bundle(precision, cache)
    assert operators_after(bundle, Levels.ORT_ENABLE_ALL, tmp_path / "all") == \
        operators_after(bundle, Levels.ORT_DISABLE_ALL, tmp_path / "none")


@pytest.mark.parametrize(("cache", "level"), [("latent", Levels.ORT_DISABLE_ALL), ("expanded", Levels.ORT_ENABLE_ALL)])
def test_only_such_graphs_are_opened_without_it(nano_bundle: Callable[..., Path], cache: str, level: Levels) -> None:
    bundle = Bundle.open(nano_bundle("fp32", cache))
    assert session_options(bundle, providers.provider("cpu"), 1).graph_optimization_level == level
