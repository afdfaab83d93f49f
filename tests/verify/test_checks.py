"""What is checked without a checkpoint: the graph alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.verify.changed_bundle import rewrite_manifest
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.verify.graph import check_graph

NanoBundle = Callable[..., Path]


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
