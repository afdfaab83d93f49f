"""A second graph for a browser's processor: weights that ONNX Runtime makes floats of when it opens it.

WebAssembly has no kernel for products with 4-bit weights. ``MatMulNBits`` unpacks its whole matrix there at every step, and then
multiplies floats: MicroReason's 27 million parameters write 12 tokens a second. This graph has ``DequantizeLinear`` and
``MatMul`` instead, over the same bytes of the same file. With the session option ``session.disable_quant_qdq`` ONNX Runtime folds
the former into constants: 65 tokens a second, for 4 bytes of memory a weight. N rows of K numbers, in G blocks each.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import UsageError
from youtu_onnx.graphs.builder import GraphBuilder

GRAPH = "browser/model.onnx"
MOST = 1 << 30
"""Bytes of weights as floats: WebAssembly addresses 4 GiB, and while it opens a graph it holds some of them twice."""


def check(graph: ir.Graph) -> None:
    """
    Raises:
        UsageError: too many weights for a browser.
    """
    floats = sum(4 * matrix.rows * matrix.columns for matrix in _matrices(graph))
    if floats > MOST:
        raise UsageError(
            f"as floats, which a browser would hold, the matrices are {floats / 1e9:.1f} GB, and {MOST / 1e9:.1f} are possible",
            hint="export without --layout browser: the page takes the bundle's own graph then",
        )


def add(manifest: Manifest, folder: Path) -> Manifest:
    """Write the graph. Its weights are in the bundle's data file, by the name that this has for a page."""
    model = ir.load(folder / names.MODEL)
    for matrix in _matrices(model.graph):
        matrix.unpack(model.graph)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses():
            del model.graph.initializers[name]
    (folder / GRAPH).parent.mkdir()
    ir.save(model, folder / GRAPH)
    return replace(manifest, files=dict(sorted({**manifest.files, GRAPH: describe_file(folder / GRAPH)}.items())))


def _matrices(graph: ir.Graph) -> list[_Matrix]:
    return [found for node in graph if (found := _Matrix.of(node)) is not None]


class _Matrix:
    """A ``MatMulNBits`` whose bytes are those of one tensor: no row ends in the middle of a block, nor do its zero points in the
    middle of a byte."""

    def __init__(self, node: ir.Node) -> None:
        self.node = node
        self.rows, self.columns, self.block, self.bits = (node.attributes[a].as_int() for a in ("N", "K", "block_size", "bits"))
        self.groups = -(-self.columns // self.block)

    @classmethod
    def of(cls, node: ir.Node) -> _Matrix | None:
        """None for other nodes, and for such as stay."""
        if node.op_type != "MatMulNBits" or any(value is not None for value in node.inputs[4:]):
            return None
        matrix = cls(node)
        even = matrix.bits == 8 or matrix.groups % 2 == 0 or len(node.inputs) == 3
        return matrix if matrix.bits in (4, 8) and matrix.columns % matrix.block == 0 and even else None

    def unpack(self, graph: ir.Graph) -> None:
        here, (x, codes, scales, *zeros) = GraphBuilder.of(graph).at(self.node), self.node.inputs[:4]
        zero = zeros[0] if zeros else None
        assert codes is not None and scales is not None
        parts = [
            self._seen(graph, codes, (self.rows, self.columns), self._type),
            self._seen(graph, scales, (self.rows, self.groups), scales.dtype),
            self._middle(graph) if zero is None else self._seen(graph, zero, (self.rows, self.groups), self._type),
        ]
        name = f"{self.node.outputs[0].name}/unpacked"
        floats = here.op("DequantizeLinear", parts, name, {"axis": 1, "block_size": self.block})  # [N, K]
        turned = here.op("Transpose", [floats], f"{name}/turned")  # [K, N]
        here.replace(self.node, "MatMul", [x, turned])

    @property
    def _type(self) -> ir.DataType:
        return ir.DataType.UINT4 if self.bits == 4 else ir.DataType.UINT8

    def _seen(self, graph: ir.Graph, value: ir.Value, shape: tuple[int, int], dtype: ir.DataType | None) -> ir.Value:
        """The same bytes of the data file in another shape and type."""
        stored = value.const_value
        assert isinstance(stored, ir.ExternalTensor) and dtype is not None
        name = f"{value.name}/rows"
        if name not in graph.initializers:
            tensor = ir.ExternalTensor(
                stored.location, stored.offset, stored.length, dtype, shape=ir.Shape(shape), name=name, base_dir=stored.base_dir
            )
            graph.initializers[name] = _value(tensor, shape)
        return graph.initializers[name]

    def _middle(self, graph: ir.Graph) -> ir.Value:
        """Zero points where none are stored: in the middle of the codes, for matrices of one shape once."""
        name, shape = f"middle.{self.bits}.{self.rows}.{self.groups}", (self.rows, self.groups)
        if name not in graph.initializers:
            tensor: ir.TensorProtocol
            if self.bits == 4:
                packed = np.full(-(-self.rows * self.groups // 2), 0x88, np.uint8)
                tensor = ir.PackedTensor(packed, ir.DataType.UINT4, shape=shape, name=name)
            else:
                tensor = ir.tensor(np.full(shape, 0x80, np.uint8), name=name)
            graph.initializers[name] = _value(tensor, shape)
        return graph.initializers[name]


def _value(tensor: ir.TensorProtocol, shape: tuple[int, int]) -> ir.Value:
    return ir.Value(name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(shape), const_value=tensor)
