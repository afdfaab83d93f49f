"""Graphs for the CPU are opened without ONNX Runtime's optimizer, since it would find nothing to do in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
import pytest

from tests.exported import load, nodes
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.runtimes.ort.session import session_options
from youtu_onnx.runtimes.providers import providers

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
    return Counter(node.op_type for node in nodes(load(folder).graph))


@pytest.mark.parametrize(
    ("precision", "cache"), [("int4", "latent"), ("int4", "latent-int8"), ("int8", "latent"), ("fp32", "latent")]
)
def test_the_optimizer_changes_nothing(nano_bundle: Callable[..., Path], tmp_path: Path, precision: str, cache: str) -> None:
    """But for one thing: long steps turn W_UK around themselves, of which it would keep a copy."""
    bundle = nano_bundle(precision, cache)
    optimized, written = (
        operators_after(bundle, level, tmp_path / level.name) for level in (Levels.ORT_ENABLE_ALL, Levels.ORT_DISABLE_ALL)
    )
    layers = 0 if precision == "fp32" else 4
    assert written - optimized == +Counter({"Transpose": layers, "Reshape": layers})
    assert not optimized - written


@pytest.mark.parametrize(
    ("precision", "cache", "level"),
    [
        ("fp32", "latent", Levels.ORT_DISABLE_ALL),
        ("fp32", "expanded", Levels.ORT_ENABLE_ALL),
        ("fp16", "latent", Levels.ORT_ENABLE_ALL),
    ],
)
def test_only_such_graphs_are_opened_without_it(
    nano_bundle: Callable[..., Path], precision: str, cache: str, level: Levels
) -> None:
    bundle = Bundle.open(nano_bundle(precision, cache))
    assert session_options(bundle, providers.provider("cpu"), 1).graph_optimization_level == level
