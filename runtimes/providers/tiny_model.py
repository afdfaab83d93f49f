"""The smallest graph that shows whether a provider computes."""

from __future__ import annotations


def tiny_model() -> bytes:
    """An ONNX model of one node, ``y = MatMul(x, x)`` on float32 [4,4], written field by field: no onnx package needed.

    Field numbers are those of onnx.proto; protobuf marks each field with ``number << 3 | kind`` (0 integer, 2 bytes).
    """
    dims = _bytes(1, _integer(1, 4)) * 2  # TensorShapeProto.dim = {dim_value 4}, twice
    tensor = _bytes(2, _bytes(1, _integer(1, 1) + _bytes(2, dims)))  # ValueInfoProto.type = {tensor_type {FLOAT, shape}}
    node = _bytes(1, b"x") * 2 + _bytes(2, b"y") + _bytes(4, b"MatMul")
    graph = _bytes(1, node) + _bytes(2, b"probe") + _bytes(11, _bytes(1, b"x") + tensor) + _bytes(12, _bytes(1, b"y") + tensor)
    return _integer(1, 8) + _bytes(7, graph) + _bytes(8, _integer(2, 17))  # ir_version 8, graph, opset_import {version 17}


def _integer(field: int, value: int) -> bytes:
    return bytes([field << 3, value])  # one byte holds what is below 128


def _bytes(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2, len(content)]) + content
