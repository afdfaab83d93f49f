"""Floats of eight bits (e4m3) with a scale for the tensor, for each row, or for each block of a few rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from youtu_onnx.core.prequantized.packed import Kept
from youtu_onnx.core.prequantized.parts import FLOATS, check, unusable, whole
from youtu_onnx.core.safetensors_files import TensorInfo, read_rows

if TYPE_CHECKING:
    from torch import Tensor

DTYPE = "F8_E4M3"


@dataclass(frozen=True)
class Float8Matrix:
    """Implements :class:`youtu_onnx.core.prequantized.packed.Packed`.

    Attributes:
        scale: name of the part that a number is multiplied with.
        block: rows and columns that share one.
    """

    name: str
    shape: tuple[int, ...]
    method: str
    parts: dict[str, TensorInfo]
    scale: str
    block: tuple[int, int]

    @classmethod
    def of(cls, stem: str, parts: dict[str, TensorInfo], method: str, block: tuple[int, int] | None) -> Float8Matrix:
        """
        Args:
            block: rows and columns that the config names; None: it names none.

        Raises:
            CheckpointError: parts that don't fit one another.
        """
        name = f"{stem}.weight"
        scale = next(one for one in parts if one != name)
        check(name, parts[name], (DTYPE,))
        check(scale, parts[scale], FLOATS)
        if len(parts[name].shape) != 2 or not all(parts[name].shape):
            raise unusable(name, f"it has shape {list(parts[name].shape)}; expected a matrix")
        (rows, columns), found = parts[name].shape, parts[scale].shape
        if found in ((), (1,), (1, 1)):
            block = (rows, columns)
        elif found in ((rows, 1), (rows,)):
            block = (1, columns)
        elif block is None or min(block) < 1 or found != (-(-rows // block[0]), -(-columns // block[1])):
            raise unusable(
                scale, f"it has shape {list(found)} for a matrix of {rows} × {columns} in blocks of {block or 'no stated size'}"
            )
        return cls(name, (rows, columns), method, parts, scale, block)

    @property
    def kept(self) -> Kept | None:
        return None

    def rows(self, start: int, stop: int) -> Tensor:
        import torch

        tall, wide = self.block
        found = read_rows(self.name, self.parts[self.name], start, stop).float()
        scales = whole(self.scale, self.parts[self.scale]).float().reshape(-(-self.shape[0] // tall), -1)
        of_rows = scales[torch.arange(start, stop) // tall]
        return found * of_rows.repeat_interleave(wide, 1)[:, : self.shape[1]]
