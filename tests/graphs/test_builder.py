"""The builder of graphs: names, places, constants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from youtu_onnx.graphs.builder import GraphBuilder, declared


def graph() -> tuple[GraphBuilder, ir.Value]:
    x = declared("x", ir.DataType.FLOAT, ["n", 4])
    return GraphBuilder.of(ir.Graph([x], [], nodes=[], name="g", opset_imports={"": 21})), x


def test_a_node_is_called_after_its_output_and_its_operator() -> None:
    builder, x = graph()
    y = builder.op("Relu", [x], "y")
    parts = builder.ops("Split", [y], ["a", "b"], {"axis": 1, "num_outputs": 2})
    assert [node.name for node in builder.graph] == ["y/Relu", "a/Split"]
    assert [part.name for part in parts] == ["a", "b"]


def test_a_constant_is_there_once() -> None:
    builder, _ = graph()
    one = builder.integers("k", 1, 2)
    assert builder.integers("k", 1, 2) is one
    assert list(builder.graph.initializers) == ["k"]
    assert one.const_value is not None and one.const_value.numpy().tolist() == [1, 2]
    assert builder.integer("n", 3).shape == ir.Shape([])


def test_constants_of_a_branch_are_the_models() -> None:
    builder, x = graph()
    inside = builder.branch("inside")
    y = inside.op("Add", [x, inside.constant("half", np.array(0.5, np.float32))], "y")
    inside.graph.outputs.append(y)
    chosen = builder.choose(builder.op("IsInf", [x], "c"), inside.graph, inside.graph, "z")
    assert list(builder.graph.initializers) == ["half"] and not inside.graph.initializers
    assert chosen.producer() is not None and [node.op_type for node in builder.graph] == ["IsInf", "If"]


def test_a_replacement_stands_where_the_node_was() -> None:
    builder, x = graph()
    y = builder.op("Relu", [x], "y")
    y.shape, y.type = ir.Shape(["n", 4]), ir.TensorType(ir.DataType.FLOAT)
    z = builder.op("Abs", [y], "z")
    builder.output(z, "out", ir.DataType.FLOAT, ["n", 4])
    node = y.producer()
    assert node is not None
    builder.at(node).op("Neg", [x], "before")
    builder.replace(node, "Tanh", [x])
    assert [one.op_type for one in builder.graph] == ["Neg", "Tanh", "Abs"]
    [replaced] = [one for one in builder.graph if one.op_type == "Tanh"]
    assert (replaced.outputs[0].name, replaced.outputs[0].shape) == ("y", ir.Shape(["n", 4]))
    assert z.producer() is not None and replaced.outputs[0].uses()
