"""AWQ's layout for its GEMM kernel: everything packed along the outputs, eight to a word in the order 0, 2, 4, 6, 1, 3, 5, 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from youtu_onnx.core.prequantized.packed import Codes, Kept
from youtu_onnx.core.prequantized.parts import FLOATS, check, group_of_columns, group_size, unpacked, unusable, whole
from youtu_onnx.core.safetensors_files import TensorInfo

if TYPE_CHECKING:
    from torch import Tensor

PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where in a word the numbers of eight neighbouring outputs are."""


@dataclass(frozen=True)
class AwqMatrix:
    """Implements :class:`youtu_onnx.core.prequantized.packed.Packed`; 4 bits, groups of ``size`` numbers."""

    name: str
    shape: tuple[int, ...]
    method: str
    parts: dict[str, TensorInfo]
    size: int

    @classmethod
    def of(cls, stem: str, parts: dict[str, TensorInfo], method: str, said: int | None) -> AwqMatrix:
        """
        Args:
            said: the config's group size.

        Raises:
            CheckpointError: parts that don't fit one another.
        """
        qweight, scales = parts[f"{stem}.qweight"], parts[f"{stem}.scales"]
        check(f"{stem}.qweight", qweight, ("I32",))
        if len(qweight.shape) != 2 or len(scales.shape) != 2 or not all(qweight.shape + scales.shape):
            raise unusable(stem, f"qweight has shape {list(qweight.shape)} and scales {list(scales.shape)}; expected matrices")
        columns, words = qweight.shape
        groups = scales.shape[0]
        check(f"{stem}.scales", scales, FLOATS, (groups, 8 * words))
        check(f"{stem}.qzeros", parts[f"{stem}.qzeros"], ("I32",), (groups, words))
        return cls(f"{stem}.weight", (8 * words, columns), method, parts, group_size(stem, columns, groups, said))

    @property
    def kept(self) -> Kept:
        return Kept(4, False, self.groups, self.codes)

    def groups(self) -> Tensor:
        return group_of_columns(self.shape[1], self.parts[f"{self._stem}.scales"].shape[0], self.size)

    def codes(self) -> Codes:
        return Codes(self._in_order("qweight"), self._part("scales").T.contiguous(), self._in_order("qzeros"), self.groups())

    def rows(self, start: int, stop: int) -> Tensor:
        """Reads all: a row's numbers lie in as many places."""
        return self.codes().rows(start, stop).dequantized()

    @property
    def _stem(self) -> str:
        return self.name.removesuffix(".weight")

    def _part(self, name: str) -> Tensor:
        return whole(f"{self._stem}.{name}", self.parts[f"{self._stem}.{name}"])

    def _in_order(self, name: str) -> Tensor:
        """uint8 ``[N, inputs or groups]``."""
        found = unpacked(self._part(name), 4)
        return found.view(len(found), -1, 8)[:, :, PLACES].flatten(1).T.contiguous()
