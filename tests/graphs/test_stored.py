"""Weights read back from a data file are what ONNX Runtime's operators make of the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError
from youtu_onnx.graphs.stored import StoredGraph
from youtu_onnx.graphs.stored_matrix import ALL

ROWS, BLOCK = 6, 16
RANDOM = np.random.default_rng(0)


def saved(folder: Path, node: onnx.NodeProto, arrays: dict[str, NDArray[Any]], index: bool) -> onnx.ModelProto:
    """A graph of one node, its weights in the data file."""
    kind = onnx.TensorProto.INT64 if index else onnx.TensorProto.FLOAT
    given = helper.make_tensor_value_info("x", kind, None)
    graph = helper.make_graph([node], "one", [given], [helper.make_empty_tensor_value_info("y")])
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, folder / names.MODEL, save_as_external_data=True, location=names.MODEL_DATA, size_threshold=0)
    return onnx.load(folder / names.MODEL, load_external_data=False)


def ran(folder: Path, x: NDArray[Any]) -> NDArray[np.float32]:
    [y] = ort.InferenceSession(folder / names.MODEL, providers=["CPUExecutionProvider"]).run(["y"], {"x": x})
    found: NDArray[np.float32] = y
    return found


def packed(rows: int, numbers: int, bits: int) -> NDArray[np.uint8]:
    return RANDOM.integers(0, 256, (rows, -(-numbers * bits // 8)), np.uint8)


@pytest.mark.parametrize("columns", [16, 48, 41])
@pytest.mark.parametrize("zero_points", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_product_is_by_the_matrix_that_is_read(tmp_path: Path, bits: int, zero_points: bool, columns: int) -> None:
    groups = -(-columns // BLOCK)
    arrays: dict[str, NDArray[Any]] = {
        f"w_q{bits}": packed(ROWS, groups * BLOCK, bits).reshape(ROWS, groups, -1),
        "w_scales": RANDOM.normal(size=(ROWS, groups)).astype(np.float32),
    }
    if zero_points:
        arrays["w_zero_points"] = packed(ROWS, groups, bits)
    node = helper.make_node(
        "MatMulNBits", ["x", *arrays], ["y"], domain="com.microsoft", K=columns, N=ROWS, bits=bits, block_size=BLOCK
    )
    stored = StoredGraph(saved(tmp_path, node, arrays, False).graph, tmp_path)
    found = stored.matrix("w").rows()
    np.testing.assert_allclose(found.values, ran(tmp_path, np.eye(columns, dtype=np.float32)).T, rtol=1e-5, atol=1e-5)
    assert found.storage == f"int{bits}"
    np.testing.assert_allclose(found.steps, np.abs(arrays["w_scales"]), rtol=1e-4)
    assert np.array_equal(stored.matrix("w").rows(slice(2, 4)).values, found.values[2:4])
    assert stored.unread() == []


@pytest.mark.parametrize("columns", [32, 48])
@pytest.mark.parametrize("zero_points", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_look_up_is_in_the_table_that_is_read(tmp_path: Path, bits: int, zero_points: bool, columns: int) -> None:
    groups = columns // BLOCK
    arrays: dict[str, NDArray[Any]] = {
        "rows": packed(ROWS, columns, bits),
        "w_scales": RANDOM.normal(size=(ROWS, groups)).astype(np.float32),
    }
    if zero_points:
        arrays["w_zero_points"] = packed(ROWS, groups, bits)
    inputs = ["rows", "x", *list(arrays)[1:]]
    attributes = {"bits": bits, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
    node = helper.make_node("GatherBlockQuantized", inputs, ["y"], domain="com.microsoft", **attributes)
    stored = StoredGraph(saved(tmp_path, node, arrays, True).graph, tmp_path)
    np.testing.assert_allclose(stored.table("x", columns).rows().values, ran(tmp_path, np.arange(ROWS)), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "domain", "attributes", "transposed"),
    [
        ("MatMul", "", {}, True),
        ("Gemm", "", {"transB": 1}, False),
        ("FusedMatMul", "com.microsoft", {"transB": 1}, False),
    ],
)
def test_floats_are_read_as_the_operator_takes_them(
    tmp_path: Path, kind: str, domain: str, attributes: dict[str, int], transposed: bool
) -> None:
    weight = RANDOM.normal(size=(ROWS, 10)).astype(np.float32)
    node = helper.make_node(kind, ["x", "w"], ["y"], domain=domain, **attributes)
    stored = StoredGraph(saved(tmp_path, node, {"w": weight.T.copy() if transposed else weight}, False).graph, tmp_path)
    assert np.array_equal(stored.matrix("w").rows().values, weight)
    assert np.array_equal(stored.matrix("w").rows(slice(1, 3)).values, weight[1:3])
    np.testing.assert_allclose(ran(tmp_path, np.eye(10, dtype=np.float32)), weight.T, rtol=1e-6)


def test_a_data_file_that_ends_early(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    stored = StoredGraph(saved(tmp_path, node, {"w": np.ones((4, 4), np.float32)}, False).graph, tmp_path)
    with (tmp_path / names.MODEL_DATA).open("r+b") as stream:
        stream.truncate(20)
    with pytest.raises(BundleError, match="ends before w"):
        stored.array("w", ALL)


def test_what_is_not_there_is_said_so(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    stored = StoredGraph(saved(tmp_path, node, {"w": np.ones((4, 4), np.float32)}, False).graph, tmp_path)
    with pytest.raises(BundleError, match="no weight v"):
        stored.array("v")
    with pytest.raises(BundleError, match="no operator multiplies by v"):
        stored.matrix("v")
    with pytest.raises(BundleError, match="no operator looks x up"):
        stored.table("x", 4)
    assert stored.unread() == ["w"]
