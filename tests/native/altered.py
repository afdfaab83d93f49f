"""Models of one native operator with something wrong in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]


def with_attributes(serialized: bytes, **values: float | None) -> bytes:
    """Other values; None: left out."""
    model = onnx.load_from_string(serialized)
    (node,) = model.graph.node
    kept = [one for one in node.attribute if one.name not in values]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items() if value is not None)
    return _serialized(model)


def with_constant(serialized: bytes, name: str, array: Array | None) -> bytes:
    """Another constant; None: it is left out."""
    model = onnx.load_from_string(serialized)
    _drop(model, name)
    if array is None:
        (node,) = model.graph.node
        node.input[list(node.input).index(name)] = ""
    else:
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return _serialized(model)


def without_last(serialized: bytes, name: str) -> bytes:
    """A constant of one element less."""
    found = constant(serialized, name).reshape(-1)
    return with_constant(serialized, name, found[:-1])


def changing(serialized: bytes, name: str) -> tuple[bytes, Array]:
    """A constant becomes an input of the graph: the model, and what it was."""
    model, was = onnx.load_from_string(serialized), constant(serialized, name)
    _drop(model, name)
    model.graph.input.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(was.dtype), was.shape))
    return _serialized(model), was


def constant(serialized: bytes, name: str) -> Array:
    (found,) = (one for one in onnx.load_from_string(serialized).graph.initializer if one.name == name)
    return numpy_helper.to_array(found)


def without_shapes(serialized: bytes) -> bytes:
    """Of inputs: then only the operator can say that one is wrong."""
    model = onnx.load_from_string(serialized)
    for one in model.graph.input:
        one.type.tensor_type.ClearField("shape")
    return _serialized(model)


def _drop(model: onnx.ModelProto, name: str) -> None:
    kept = [one for one in model.graph.initializer if one.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _serialized(model: onnx.ModelProto) -> bytes:
    made: bytes = model.SerializeToString()
    return made
