"""compressed-tensors' integers: ``weight_packed`` along the inputs (pack-quantized) or bytes in ``weight`` (int-quantized).

Packed numbers and zero points are stored from 0 on; bytes are signed, and a file without zero points means zero. A row's groups
follow one another, or ``weight_g_idx`` says where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from youtu_onnx.core.prequantized.packed import Codes, Kept
from youtu_onnx.core.prequantized.parts import (
    FLOATS,
    check,
    checked_groups,
    group_of_columns,
    group_size,
    unpacked,
    unusable,
    whole,
)
from youtu_onnx.core.safetensors_files import TensorInfo, read_rows

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = "4 and 8 bits are read; export from the checkpoint before it was quantized"


@dataclass(frozen=True)
class PackedMatrix:
    """Implements :class:`youtu_onnx.core.prequantized.packed.Packed`.

    Attributes:
        bits: 4 or 8.
        packed: whether numbers are packed into words; else they are bytes.
    """

    name: str
    shape: tuple[int, ...]
    method: str
    parts: dict[str, TensorInfo]
    bits: int
    packed: bool

    @classmethod
    def of(cls, stem: str, parts: dict[str, TensorInfo], method: str, columns: int | None) -> PackedMatrix:
        """
        Args:
            columns: of the matrix, where the architecture knows it.

        Raises:
            CheckpointError: parts that don't fit one another.
        """
        packed = f"{stem}.weight_packed" in parts
        name = f"{stem}.weight_packed" if packed else f"{stem}.weight"
        check(name, parts[name], ("I32",) if packed else ("I8",))
        if len(parts[name].shape) != 2 or not all(parts[name].shape):
            raise unusable(name, f"it has shape {list(parts[name].shape)}; expected a matrix")
        rows, words = parts[name].shape
        bits = 8
        if packed:
            columns = columns or _said_columns(stem, parts)
            widths = [bits for bits in range(1, 9) if -(-columns * bits // 32) == words]
            if not {4, 8} & set(widths):
                raise unusable(
                    name, f"{words} words for {columns} numbers are {widths[0] if widths else 'no number of'} bits", WIDTHS
                )
            bits = 4 if 4 in widths else 8
        else:
            columns = words
        found = cls(f"{stem}.weight", (rows, columns), method, parts, bits, packed)
        found._check_beside(stem)
        return found

    def _check_beside(self, stem: str) -> None:
        """What is beside the numbers."""
        parts, (rows, columns) = self.parts, self.shape
        scale = parts[f"{stem}.weight_scale"]
        per_row = len(scale.shape) == 2 and scale.shape[0] == rows
        if not per_row and scale.shape not in ((), (1,), (1, 1), (rows,)):
            raise unusable(f"{stem}.weight_scale", f"it has shape {list(scale.shape)} for {rows} rows")
        check(f"{stem}.weight_scale", scale, FLOATS)
        count = scale.shape[1] if per_row else 1
        if f"{stem}.weight_g_idx" in parts:
            check(f"{stem}.weight_g_idx", parts[f"{stem}.weight_g_idx"], ("I32", "I64"), (columns,))
        group_size(f"{stem}.weight_scale", columns, count, None)
        zeros = f"{stem}.weight_zero_point"
        if zeros in parts:
            if self.packed:
                check(zeros, parts[zeros], ("I32",), (-(-rows * self.bits // 32), count))
            else:
                check(zeros, parts[zeros], ("I8",), scale.shape)

    @property
    def kept(self) -> Kept:
        symmetric = f"{self._stem}.weight_zero_point" not in self.parts
        return Kept(self.bits, symmetric, self.groups, self.codes)

    def groups(self) -> Tensor:
        name, count = f"{self._stem}.weight_g_idx", self._scales().shape[1]
        if name in self.parts:
            found = whole(name, self.parts[name])
            if not bool((found == -1).all()):  # what compressed-tensors writes where it has none
                return checked_groups(name, found, count)
        return group_of_columns(self.shape[1], count, group_size(name, self.shape[1], count, None))

    def codes(self) -> Codes:
        return self._codes(0, self.shape[0])

    def rows(self, start: int, stop: int) -> Tensor:
        return self._codes(start, stop).dequantized()

    def _codes(self, start: int, stop: int) -> Codes:
        import torch

        name = f"{self._stem}.weight_packed" if self.packed else self.name
        found, middle = read_rows(name, self.parts[name], start, stop), 2 ** (self.bits - 1)
        values = unpacked(found, self.bits)[:, : self.shape[1]] if self.packed else (found.int() + middle).to(torch.uint8)
        scales = self._scales()[start:stop]
        return Codes(values, scales, self._zeros(scales.shape[1])[start:stop], self.groups())

    def _scales(self) -> Tensor:
        """``[N,G]``"""
        found = whole(f"{self._stem}.weight_scale", self.parts[f"{self._stem}.weight_scale"])
        return found if found.ndim == 2 and len(found) == self.shape[0] else found.reshape(-1, 1).expand(self.shape[0], 1)

    def _zeros(self, count: int) -> Tensor:
        """uint8 ``[N,G]``"""
        import torch

        name, rows, middle = f"{self._stem}.weight_zero_point", self.shape[0], 2 ** (self.bits - 1)
        if name not in self.parts:
            return torch.full((rows, count), middle, dtype=torch.uint8)
        found = whole(name, self.parts[name])
        if self.packed:
            return unpacked(found.T, self.bits)[:, :rows].T.contiguous()
        zeros: Tensor = (found.int() + middle).to(torch.uint8)
        return zeros.reshape(-1, count).expand(rows, count)

    @property
    def _stem(self) -> str:
        return self.name.removesuffix(".weight")


def _said_columns(stem: str, parts: dict[str, TensorInfo]) -> int:
    """Of a matrix that the architecture hasn't: its own word for it."""
    name = f"{stem}.weight_shape"
    if name not in parts:
        raise unusable(f"{stem}.weight_packed", f"{name} is missing")
    check(name, parts[name], ("I64", "I32"), (2,))
    columns = int(whole(name, parts[name])[1])
    if not 0 < columns <= 32 * parts[f"{stem}.weight_packed"].shape[1]:
        raise unusable(name, f"it says {columns} columns")
    return columns
