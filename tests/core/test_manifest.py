"""Manifests of the format before: as its last version wrote them, one of each target, without their parity reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.bundle.graph_facts import GraphFacts
from youtu_onnx.core.bundle.manifest import FORMAT_VERSION
from youtu_onnx.core.errors import BundleError

FOLDER = Path(__file__).parent / "format_1"
FACTS = {
    "cpu": GraphFacts("cpu", "float32", 23, True, ("absorbed", "expanded"), 64),
    "cpu_bytes": GraphFacts("cpu", "float32", 23, True, ("absorbed", "expanded"), 64),
    "cpu_expanded": GraphFacts("cpu", "float16", 23, False, ("expanded",)),
    "mobile": GraphFacts("cpu", "float32", 23, True, ("absorbed", "expanded"), 64),
    "cuda": GraphFacts("cuda", "float16", 18, False, ("absorbed",)),
    "dml": GraphFacts("dml", "float16", 18, False, ("absorbed",)),
    "webgpu": GraphFacts("webgpu", "float16", 18, False, ("absorbed",)),
}
"""What each graph is, which format 1 left to a table of its readers."""


@pytest.mark.parametrize("name", FACTS)
def test_format_1_is_read_as_what_it_meant(name: str) -> None:
    manifest = Manifest.read(FOLDER / f"{name}.json")
    assert manifest.graph == FACTS[name]
    assert manifest.target == name.partition("_")[0]
    assert (manifest.model.family, manifest.model.vocab_size, manifest.model.eos_token_ids) == ("youtu", 1280, (1,))
    assert manifest.cache.uniform and manifest.cache.rewindable and manifest.cache.prefix_shareable
    assert manifest.cache.form == ("expanded" if name == "cpu_expanded" else "latent")
    assert manifest.cache.dtype == {"cpu": "float32", "cpu_bytes": "uint8", "mobile": "uint8"}.get(name, "float16")
    assert manifest.cache.length == (256 if name == "dml" else None)
    assert manifest.context_length == (256 if name == "dml" else 1024)
    assert manifest.slots == (8 if name in ("cpu", "cpu_bytes") else None)


@pytest.mark.parametrize("name", FACTS)
def test_written_again_it_is_of_the_present_format(name: str, tmp_path: Path) -> None:
    manifest = Manifest.read(FOLDER / f"{name}.json")
    (tmp_path / "youtu_onnx.json").write_text(manifest.to_json(), encoding="utf-8")
    assert json.loads(manifest.to_json())["format_version"] == FORMAT_VERSION
    assert Manifest.read(tmp_path / "youtu_onnx.json") == replace(manifest, format_version=FORMAT_VERSION)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "quantum"}, "target 'quantum'"),
        ({"format_version": 3}, "has format version 3; this youtu-onnx reads 1 and 2"),
        ({"architecture": {}}, "lacks or misstates a field"),
        ({"files": {"../model.onnx": {"size": 1, "sha256": "0"}}}, "outside the bundle"),
    ],
)
def test_what_can_not_be_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    fields = json.loads((FOLDER / "cpu.json").read_text(encoding="utf-8"))
    (tmp_path / "youtu_onnx.json").write_text(json.dumps(fields | changes), encoding="utf-8")
    with pytest.raises(BundleError, match=said):
        Manifest.read(tmp_path / "youtu_onnx.json")
