"""Graphs for the CPU are opened without ONNX Runtime's optimizer, since it would find nothing to do in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.families.microreason.conftest import Exported
from tests.families.test_final_graph import Levels, operators_after


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@pytest.mark.parametrize(("form", "routing"), [("routed", True), ("masked", True), ("masked", False)])
def test_the_optimizer_changes_nothing(exported: Exported, tmp_path: Path, precision: str, form: str, routing: bool) -> None:
    folder, manifest = exported(precision, form, routing=routing)
    assert manifest.graph.optimized
    optimized, written = (
        operators_after(folder, level, tmp_path / level.name) for level in (Levels.ORT_ENABLE_ALL, Levels.ORT_DISABLE_ALL)
    )
    assert optimized == written
