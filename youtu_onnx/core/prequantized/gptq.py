"""GPTQ's layout: ``qweight`` packed along the inputs, ``qzeros`` along the outputs, ``scales``; ``g_idx``, each input's group.

Files of version 1 have every zero point less one. The correction is that of GPTQModel, which transformers loads such files with:
ones are added to the packed words, so that what was taken over from a neighbour when a zero became -1 is given back.
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
from youtu_onnx.core.safetensors_files import TensorInfo

if TYPE_CHECKING:
    from torch import Tensor

ONES = {4: 0x11111111, 8: 0x01010101}
WIDTHS = "4 and 8 bits are read; export from the checkpoint before it was quantized"


@dataclass(frozen=True)
class GptqMatrix:
    """Implements :class:`youtu_onnx.core.prequantized.packed.Packed`.

    Attributes:
        off_by_one: zero points are stored less one.
        symmetric: the config says that all zero points are the middle value.
        size: numbers of a group, where ``g_idx`` doesn't say otherwise.
    """

    name: str
    shape: tuple[int, ...]
    method: str
    parts: dict[str, TensorInfo]
    bits: int
    size: int
    off_by_one: bool
    symmetric: bool

    @classmethod
    def of(
        cls,
        stem: str,
        parts: dict[str, TensorInfo],
        method: str,
        columns: int | None,
        said: tuple[int | None, int | None],
        *,
        off_by_one: bool,
        symmetric: bool,
    ) -> GptqMatrix:
        """
        Args:
            stem: the module's name.
            columns: of the matrix, where the architecture knows it.
            said: the config's bits and group size.

        Raises:
            CheckpointError: parts that don't fit one another.
        """
        qweight, scales = parts[f"{stem}.qweight"], parts[f"{stem}.scales"]
        check(f"{stem}.qweight", qweight, ("I32",))
        if len(qweight.shape) != 2 or len(scales.shape) != 2 or not all(qweight.shape + scales.shape):
            raise unusable(stem, f"qweight has shape {list(qweight.shape)} and scales {list(scales.shape)}; expected matrices")
        words, rows = qweight.shape
        bits = said[0]
        if columns is not None and 32 * words % columns == 0:  # a file may have exceptions from what its config says
            bits = 32 * words // columns
        if bits not in ONES:
            raise unusable(f"{stem}.qweight", f"it is packed in {bits} bits", WIDTHS)
        columns, groups = words * 32 // bits, scales.shape[0]
        check(f"{stem}.scales", scales, FLOATS, (groups, rows))
        check(f"{stem}.qzeros", parts[f"{stem}.qzeros"], ("I32",), (groups, -(-rows * bits // 32)))
        if f"{stem}.g_idx" in parts:
            check(f"{stem}.g_idx", parts[f"{stem}.g_idx"], ("I32", "I64"), (columns,))
        size = group_size(stem, columns, groups, said[1])
        return cls(f"{stem}.weight", (rows, columns), method, parts, bits, size, off_by_one, symmetric)

    @property
    def kept(self) -> Kept:
        return Kept(self.bits, self.symmetric, self.groups, self.codes)

    def groups(self) -> Tensor:
        name, count = f"{self._stem}.g_idx", self.parts[f"{self._stem}.scales"].shape[0]
        if name not in self.parts:
            return group_of_columns(self.shape[1], count, self.size)
        return checked_groups(name, whole(name, self.parts[name]), count)

    def codes(self) -> Codes:
        values = unpacked(self._part("qweight").T, self.bits)
        words = self._part("qzeros")
        if self.off_by_one:
            words = words + ONES[self.bits]
        zeros = unpacked(words, self.bits)[:, : self.shape[0]].T.contiguous()
        if self.symmetric and not bool((zeros == 2 ** (self.bits - 1)).all()):
            raise self._disagreement(zeros)
        return Codes(values, self._part("scales").T.contiguous(), zeros, self.groups())

    def rows(self, start: int, stop: int) -> Tensor:
        """Reads all: a row's numbers lie in as many places."""
        return self.codes().rows(start, stop).dequantized()

    @property
    def _stem(self) -> str:
        return self.name.removesuffix(".weight")

    def _part(self, name: str) -> Tensor:
        return whole(f"{self._stem}.{name}", self.parts[f"{self._stem}.{name}"])

    def _disagreement(self, zeros: Tensor) -> Exception:
        middle, found = 2 ** (self.bits - 1), sorted(set(zeros.flatten().tolist()))
        hint = 'if they aren\'t meant to be, write "sym": false into quantization_config'
        if found in ([middle - 1], [middle + 1]):
            hint = f"they are off by one: correct checkpoint_format, which is read as version {1 if self.off_by_one else 2}"
        return unusable(
            f"{self._stem}.qzeros", f"config.json says symmetric, so zero points are {middle}, and here are {found[:5]}", hint
        )
