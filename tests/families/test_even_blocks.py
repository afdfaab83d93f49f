"""Zero points of 8 bits as DirectML finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

from tests.exported import export_tiny  # noqa: E402
from tests.families.test_static_cache import WIDE  # noqa: E402
from tests.tiny_checkpoint import write_checkpoint  # noqa: E402
from youtu_onnx.core.recipe import Recipe  # noqa: E402


@pytest.mark.parametrize("recipe", [Recipe("int8"), Recipe("int8", symmetric=True), Recipe("int4", int8=("*.o_proj", "lm_head"))])
def test_rows_of_8_bits_have_an_even_number_of_blocks(tmp_path: Path, recipe: Recipe) -> None:
    """Of others DirectML reads the zero points in other places (found on its own libraries)."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", WIDE)
    export_tiny(checkpoint, tmp_path, recipe, target="dml", max_length=16)
    graph = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph
    numbers = [
        {one.name: one.i for one in node.attribute if one.name in ("bits", "K", "block_size")}
        for node in graph.node
        if node.op_type == "MatMulNBits"
    ]
    eight = [one for one in numbers if one["bits"] == 8]
    assert eight and all(-(-one["K"] // one["block_size"]) % 2 == 0 for one in eight)
    assert any(one["K"] == one["block_size"] * 2 for one in eight), "one that would have had a single block"
