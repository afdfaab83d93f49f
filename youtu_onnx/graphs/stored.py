"""A bundle's weights as its graph has them: which initializers an operator reads, and the numbers in the data file.

Nothing here knows how they came to be there. Names and offsets are in memory, numbers are read when they are asked for.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, YoutuOnnxError
from youtu_onnx.graphs.reading import load_graph, nodes
from youtu_onnx.graphs.stored_matrix import ALL, Blocks, Plain, StoredMatrix

if TYPE_CHECKING:
    import onnx

DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 10: np.float16}
"""ONNX's numbers of the types that weights have."""


@dataclass(frozen=True)
class _Region:
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class StoredGraph:
    """The weights of ``model.onnx``.

    Attributes:
        where: the bundle's graph, for messages.
    """

    def __init__(self, graph: onnx.GraphProto, folder: Path) -> None:
        self.where = folder / names.MODEL
        self._data = folder / names.MODEL_DATA
        self._regions: dict[str, _Region] = {}
        self._inside: dict[str, onnx.TensorProto] = {}
        self._read: set[int] = set()
        for tensor in graph.initializer:
            entry = {item.key: item.value for item in tensor.external_data}
            if not entry:
                self._inside[tensor.name] = tensor
            elif tensor.data_type in DTYPES:
                dtype = np.dtype(DTYPES[tensor.data_type])
                self._regions[tensor.name] = _Region(int(entry.get("offset", 0)), dtype, tuple(tensor.dims))
            else:
                raise BundleError(f"{self.where}: {tensor.name} is of ONNX's type {tensor.data_type}, which no weight has")
        self._nodes = list(nodes(graph))

    @classmethod
    def open(cls, bundle: Bundle) -> StoredGraph:
        """
        Raises:
            BundleError: the graph can't be read.
            YoutuOnnxError: ``onnx`` isn't installed.
        """
        graph = load_graph(bundle)
        if graph is None:
            raise YoutuOnnxError("reading a bundle's weights needs onnx", hint="pip install 'youtu-onnx[export]'")
        return cls(graph, bundle.path)

    def array(self, name: str, first: slice = ALL, second: slice = ALL) -> NDArray[Any]:
        """An initializer's numbers as they are stored, or some of them.

        Raises:
            BundleError: there is no such initializer, or the data file ends before it.
        """
        region = self._regions.get(name)
        if region is None:
            raise BundleError(f"{self.where} has no weight {name}", hint="export the bundle again")
        self._read.add(region.offset)
        size = prod(region.shape) * region.dtype.itemsize
        if region.offset + size > self._data.stat().st_size:
            raise BundleError(f"{self._data} ends before {name}", hint="copy or export the bundle again")
        # Mapped for as long as it takes to copy what was asked for.
        mapped = np.memmap(self._data, region.dtype, "r", region.offset, region.shape)
        return np.array(mapped[first] if second == ALL else mapped[first, second])

    def has(self, name: str) -> bool:
        return name in self._regions

    def matrix(self, name: str) -> StoredMatrix:
        """The matrix ``[N,K]`` called ``name``, as the operator that multiplies by it takes it.

        Raises:
            BundleError: none does, or in a way that is not known here.
        """
        for node in self._nodes:
            for place, given in enumerate(node.input):
                if given not in self._regions or given.removesuffix("_q4").removesuffix("_q8") != name:
                    continue
                if node.op_type == "MatMulNBits" and place == 1:
                    return self._blocks(node, codes=1, scales=2, zero_points=3, columns=_integer(node, "K"))
                if node.op_type in ("Gemm", "FusedMatMul") and place == 1 and _integer(node, "transB"):
                    return Plain(self.array, given, transposed=False)
                if node.op_type == "MatMul" and place == 1:
                    return Plain(self.array, given, transposed=True)
        raise BundleError(f"{self.where}: no operator multiplies by {name}", hint="export the bundle again")

    def table(self, index: str, columns: int) -> StoredMatrix:
        """The matrix ``[N,columns]`` whose rows the graph's input ``index`` chooses.

        Raises:
            BundleError: there is none, or it is looked up in a way that is not known here.
        """
        taken = [
            node for node in self._nodes if len(node.input) > 1 and node.input[1] == index and node.input[0] in self._regions
        ]
        for node in taken:
            if node.op_type == "GatherBlockQuantized" and (_integer(node, "gather_axis"), _integer(node, "quantize_axis")) == (
                0,
                1,
            ):
                return self._blocks(node, codes=0, scales=2, zero_points=3, columns=columns)
        looked_up = [node for node in taken if node.op_type == "Gather"]
        if len(looked_up) == 1:
            return Plain(self.array, looked_up[0].input[0], transposed=False)
        if looked_up:
            return self._computed_table(looked_up, columns)
        raise BundleError(f"{self.where}: no operator looks {index} up", hint="export the bundle again")

    def unread(self) -> list[str]:
        """Weights in the data file that nobody has asked for."""
        return sorted(name for name, region in self._regions.items() if region.offset not in self._read)

    def _blocks(self, node: onnx.NodeProto, *, codes: int, scales: int, zero_points: int, columns: int) -> Blocks:
        """Each number is the place of an input."""
        given = node.input
        zeros = given[zero_points] if len(given) > zero_points and given[zero_points] else None
        bits, block = _integer(node, "bits") or 4, _integer(node, "block_size")
        order = self._order(given[0]) if node.op_type == "MatMulNBits" else None
        return Blocks(self.array, given[codes], given[scales], zeros, bits, block, columns, order)

    def _order(self, value: str) -> NDArray[Any] | None:
        """The order that a product's inputs are brought into before it; None: the one that they have."""
        import onnx

        found = next((node for node in self._nodes if node.op_type == "Gather" and node.output[0] == value), None)
        if found is None or found.input[1] not in self._inside or _integer(found, "axis") not in (-1, 2):
            return None
        order: NDArray[Any] = onnx.numpy_helper.to_array(self._inside[found.input[1]])
        return order

    def _computed_table(self, looked_up: list[onnx.NodeProto], columns: int) -> Blocks:
        """Codes, scales and zero points that are each looked up, and put together by arithmetic behind that.

        Codes are the widest; the Reshape behind them says how they are blocked.
        """
        by_width = sorted(looked_up, key=lambda node: self._regions[node.input[0]].shape[-1])
        codes = by_width[-1]
        [scales] = [node.input[0] for node in looked_up if self._regions[node.input[0]].dtype.kind == "f"]
        zeros = [node.input[0] for node in looked_up if node is not codes and node.input[0] != scales]
        groups, block = self._next_reshape(codes.output[0])[-2:]
        bits = 8 * self._regions[codes.input[0]].shape[-1] // (groups * block)
        return Blocks(self.array, codes.input[0], scales, zeros[0] if zeros else None, bits, block, columns)

    def _next_reshape(self, value: str) -> list[int]:
        """The sizes of the first Reshape behind a value."""
        import onnx

        users = defaultdict(list)
        for node in self._nodes:
            for given in node.input:
                users[given].append(node)
        while value in users:
            node = users[value][0]
            if node.op_type == "Reshape":
                return [int(size) for size in onnx.numpy_helper.to_array(self._inside[node.input[1]])]
            value = node.output[0]
        raise BundleError(f"{self.where}: what is looked up for {value} is not known here", hint="export the bundle again")


def _integer(node: onnx.NodeProto, name: str) -> int:
    """An attribute; 0 where the node hasn't it."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)
