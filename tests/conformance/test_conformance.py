"""What each provider would do with a node: operators, versions, types, and the traps that were found by running."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

ir = pytest.importorskip("onnx_ir")

from youtu_onnx.conformance import CUDA, DIRECTML, WEB_WASM, Conformance, Placement, Table, conformance  # noqa: E402
from youtu_onnx.conformance.host import OF_SIZES  # noqa: E402

FLOAT, FLOAT16, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64


Described = dict[str, tuple[int, list[int | str]]]
"""Values: name → element type and shape."""


def placed(
    table: Table,
    *nodes: onnx.NodeProto,
    inputs: Described,
    opset: int = 21,
    known: Described | None = None,
    constants: dict[str, np.ndarray] | None = None,
) -> Conformance:
    """The conformance of a graph of these nodes."""

    def values(listed: Described) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, *described) for name, described in listed.items()]

    graph = helper.make_graph(
        nodes,
        "g",
        values(inputs),
        [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
        [onnx.numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
        value_info=values(known or {}),
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return conformance(ir.from_proto(helper.make_model(graph, opset_imports=opsets)), table)


def sole(found: Conformance) -> Placement:
    [one] = found.placements
    return one


def one(operator: str, dtype: int = FLOAT, table: Table = DIRECTML, opset: int = 21, **attributes: int) -> Placement:
    return sole(placed(table, helper.make_node(operator, ["x"], ["y"], **attributes), inputs={"x": (dtype, [2, 3])}, opset=opset))


class TestVersions:
    @pytest.mark.parametrize("table", [DIRECTML, CUDA])
    def test_a_kernel_serves_the_version_of_the_operator_that_it_was_made_for(self, table: Table):
        assert one("Cos", table=table, opset=21).where == "provider"
        later = one("Cos", table=table, opset=23)
        assert later.where == "cpu" and "version 22" in later.reason and "opset 23" in later.reason

    def test_directml_ends_at_opset_21(self):
        for operator in ("Shape", "Identity"):
            assert one(operator, opset=21).where == "provider"
            assert one(operator, opset=23).where == "cpu"
        assert one("Shape", table=CUDA, opset=23).where == "provider"

    def test_operators_that_onnx_does_not_have_need_no_version(self):
        for opset in (17, 23):
            node = helper.make_node("SimplifiedLayerNormalization", ["x", "w"], ["y"], axis=-1)
            assert sole(placed(DIRECTML, node, inputs={"x": (FLOAT, [2, 3]), "w": (FLOAT, [3])}, opset=opset)).where == "provider"


class TestTypes:
    def test_types_of_operands_decide(self):
        assert one("Sigmoid", FLOAT16).where == "provider"
        wrong = one("Sigmoid", TensorProto.DOUBLE)
        assert wrong.where == "cpu" and wrong.reason == "has no kernel for double"

    def test_the_operand_that_counts_is_not_always_the_first(self):
        node = helper.make_node("Where", ["c", "x", "x"], ["y"])
        inputs = {"c": (TensorProto.BOOL, [2]), "x": (TensorProto.BOOL, [2])}
        assert sole(placed(DIRECTML, node, inputs=inputs)).where == "provider"
        assert sole(placed(CUDA, node, inputs=inputs)).where == "cpu"

    def test_an_operator_that_is_not_listed_is_refused(self):
        assert one("Hardmax").reason == "has no kernel"
        assert one("Hardmax", table=CUDA).where == "cpu"

    def test_nodes_in_branches_count(self):
        output = helper.make_empty_tensor_value_info("z")
        inner = helper.make_graph([helper.make_node("Hardmax", ["x"], ["z"])], "b", [], [output])
        node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        found = placed(CUDA, node, inputs={"c": (TensorProto.BOOL, []), "x": (FLOAT, [2])})
        assert sorted(placement.operator for placement in found.placements) == ["Hardmax", "Hardmax", "If"]


class TestTraps:
    """Each was seen on DirectML: on the CPU, which ends graph capture, or in wrong numbers."""

    @pytest.mark.parametrize(
        "operator",
        [
            "GatherBlockQuantized",
            "ScatterND",
            "ScatterElements",
            "RMSNormalization",
            "Attention",
            "TensorScatter",
            "PagedAttention",
        ],
    )
    def test_operators_on_the_cpu(self, operator: str):
        domain = "com.microsoft" if operator in ("GatherBlockQuantized", "PagedAttention") else ""
        node = helper.make_node(operator, ["x", "x", "x"], ["y"], domain=domain)
        assert sole(placed(DIRECTML, node, inputs={"x": (FLOAT, [2, 3])}, opset=24)).where == "cpu"

    def test_group_query_attention_is_wrong(self):
        node = helper.make_node("GroupQueryAttention", ["x"] * 7, ["y"], domain="com.microsoft", num_heads=1, kv_num_heads=1)
        assert sole(placed(DIRECTML, node, inputs={"x": (FLOAT, [2, 3])})).where == "wrong"

    @pytest.mark.parametrize(
        ("bits", "k", "block", "zero_points", "where"),
        [
            (4, 64, 16, True, "provider"),
            (4, 64, 64, True, "provider"),
            (4, 64, 64, False, "provider"),
            (4, 48, 16, True, "cpu"),
            (8, 64, 16, True, "provider"),
            (8, 64, 64, False, "provider"),
            (8, 64, 64, True, "wrong"),
            (8, 96, 32, True, "wrong"),
            (8, 96, 64, True, "provider"),
        ],
    )
    def test_products_of_4_and_8_bits(self, bits: int, k: int, block: int, zero_points: bool, where: str):
        blocks = -(-k // block)
        operands = ["x", "b", "s", *(["z"] if zero_points else [])]
        node = helper.make_node("MatMulNBits", operands, ["y"], domain="com.microsoft", K=k, N=8, bits=bits, block_size=block)
        constants = {
            "b": np.zeros((8, blocks, block * bits // 8), np.uint8),
            "s": np.ones(8 * blocks, np.float32),
            "z": np.zeros((8, -(-blocks * bits // 8)), np.uint8),
        }
        assert sole(placed(DIRECTML, node, inputs={"x": (FLOAT, [1, k])}, constants=constants)).where == where

    @pytest.mark.parametrize(("shape", "where"), [([1, 2, 8], "provider"), ([1, 2, 2, 4], "wrong")])
    def test_rotary_embedding(self, shape: list[int | str], where: str):
        node = helper.make_node("RotaryEmbedding", ["x", "p", "c", "c"], ["y"], domain="com.microsoft")
        inputs = {"x": (FLOAT, shape), "p": (INT64, [1, 2]), "c": (FLOAT, [9, 4])}
        assert sole(placed(DIRECTML, node, inputs=inputs)).where == where

    @pytest.mark.parametrize("follower", ["Gather", "Sub", "Range"])
    def test_arithmetic_with_sizes(self, follower: str):
        operands = {"Gather": ["n", "zero"], "Sub": ["n", "zero"], "Range": ["zero", "n", "one"]}[follower]
        nodes = [helper.make_node("Shape", ["x"], ["n"], start=0, end=1), helper.make_node(follower, operands, ["y"])]
        found = placed(
            DIRECTML,
            *nodes,
            inputs={"x": (FLOAT, ["n", 3])},
            known={"n": (INT64, [1])},
            constants={"zero": np.array(0, np.int64), "one": np.array(1, np.int64)},
        )
        assert [placement.where for placement in found.placements] == ["provider", "cpu"]
        assert [fault.operator for fault in found.faults] == [follower]
        assert [fault.operator for fault in Conformance(CUDA, found.placements).faults] == [follower]

    def test_sizes_that_are_put_together_may_stay_on_the_cpu_but_in_layers_and_whole_graphs(self):
        for name, table, faults in (("head", CUDA, []), ("model.layers.0.x", CUDA, ["Concat"]), ("head", DIRECTML, ["Concat"])):
            nodes = [
                helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
                helper.make_node("Concat", ["n", "one"], ["y"], axis=0, name=name),
            ]
            found = placed(
                table,
                *nodes,
                inputs={"x": (FLOAT, ["n", 3])},
                known={"n": (INT64, [1])},
                constants={"one": np.array([1], np.int64)},
            )
            assert [fault.operator for fault in found.faults] == faults
        floats = placed(
            Table("a provider", {}, may_leave=OF_SIZES),
            helper.make_node("Concat", ["x", "x"], ["y"], axis=0),
            inputs={"x": (FLOAT, [2])},
        )
        assert [fault.operator for fault in floats.faults] == ["Concat"], "these are no sizes"

    def test_the_same_arithmetic_with_numbers_stays(self):
        node = helper.make_node("Sub", ["x", "x"], ["y"])
        assert sole(placed(DIRECTML, node, inputs={"x": (INT64, [2])})).where == "provider"

    def test_a_shape_that_is_computed(self):
        nodes = [helper.make_node("Concat", ["a", "a"], ["s"], axis=0), helper.make_node("Reshape", ["x", "s"], ["y"])]
        found = placed(DIRECTML, *nodes, inputs={"x": (FLOAT, [2, 2]), "a": (INT64, [1])}, known={"s": (INT64, [2])})
        assert [placement.where for placement in found.placements] == ["provider", "cpu"]
        constant = helper.make_node("Reshape", ["x", "s"], ["y"])
        found = placed(DIRECTML, constant, inputs={"x": (FLOAT, [2, 2])}, constants={"s": np.array([4], np.int64)})
        assert sole(found).where == "provider"


def test_faults_are_what_the_target_does_not_allow():
    table = Table("a provider", {}, never={"Cos": ("wrong", "gives sines")}, may_leave={"Range": "a few numbers"})
    nodes = [helper.make_node(name, ["x"], [f"y{index}"]) for index, name in enumerate(("Cos", "Sin", "Range", "Sin"))]
    found = placed(table, *nodes, inputs={"x": (FLOAT, [2])})
    assert [(fault.operator, fault.where) for fault in found.faults] == [("Cos", "wrong"), ("Sin", "cpu"), ("Sin", "cpu")]
    assert found.on_provider == 0
    assert found.summary() == ["2 × Sin: has no kernel", "1 × Cos: wrong: gives sines", "1 × Range: has no kernel"]


def test_where_no_other_provider_lies_behind_a_node_without_a_kernel_is_nowhere():
    nodes = [helper.make_node(*one) for one in (("Shape", ["x"], ["n"]), ("Sub", ["n", "n"], ["m"]), ("Hardmax", ["x"], ["y"]))]
    found = placed(WEB_WASM, *nodes, inputs={"x": (FLOAT, ["n", 3])}, known={"n": (INT64, [2]), "m": (INT64, [2])})
    assert [placement.where for placement in found.placements] == ["provider", "provider", "nowhere"]
    assert [fault.operator for fault in found.faults] == ["Hardmax"]
