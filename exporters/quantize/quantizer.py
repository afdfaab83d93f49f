"""What a way of quantizing is to the rest of the exporter.

Packing (:mod:`youtu_onnx.exporters.quantize.packing`) is given one and knows none by name. A new one is a new file with a class
that has :meth:`Quantizer.begin`, and a line in :mod:`youtu_onnx.exporters.quantize.choice`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.quantize.chunks import by_rows
from youtu_onnx.exporters.quantize.quantized import Quantized


@dataclass(frozen=True)
class InputStatistics:
    """What calibration learnt of the vectors ``x`` ``[K]`` that a matrix ``[N,K]`` is multiplied with.

    Attributes:
        sizes: float32 ``[K]``, the mean of ``x²``.
        second_moments: float32 ``[K,K]``, the mean of ``x xᵀ``, of which ``sizes`` are the diagonal: the error of a row ``w``
            becomes ``(w - w') M (w - w')ᵀ`` in what comes out. None where only the sizes are known.
        drift: float32 ``[K,K]``, the mean of ``(x' - x) xᵀ``, where x' is what x would be if no matrix before this one were
            rounded. None: none is, or that is not known.
    """

    sizes: Tensor
    second_moments: Tensor | None = None
    drift: Tensor | None = None

    @classmethod
    def of(cls, moments: Tensor) -> InputStatistics:
        """``[K,K]`` second moments, or ``[K]`` sizes alone."""
        return cls(moments) if moments.ndim == 1 else cls(moments.diagonal(), moments)


RowsOf = Callable[[int, int], Quantized]
"""``rows(start, stop)``: those rows of a matrix, quantized. Any thread may call it, for any rows, in any order."""


class Quantizer(Protocol):
    """A way of finding a matrix's codes, scales and zero points. Frozen: one serves all matrices of an export."""

    def begin(self, weight: Tensor, storage: Blockwise, scale_dtype: torch.dtype, inputs: InputStatistics | None) -> RowsOf:
        """Do once what all rows of a matrix share; the result quantizes rows of it, a few at a time.

        Args:
            weight: ``[N,K]``, any float dtype. A last block that K doesn't fill is padded with zeros, which stay zeros.
            storage: bits, block size, and whether all zero points are the middle value.
            scale_dtype: in which scales are stored: codes are chosen for the scales as they will be read.
            inputs: None where nothing was calibrated.

        Raises:
            ValueError: it needs statistics, and there are none.
        """


def quantize(
    quantizer: Quantizer,
    weight: Tensor,
    storage: Blockwise,
    scale_dtype: torch.dtype = torch.float32,
    inputs: InputStatistics | None = None,
) -> Quantized:
    """All rows of ``weight`` ``[N,K]`` at once."""
    return Quantized.joined(by_rows(quantizer.begin(weight, storage, scale_dtype, inputs), *weight.shape))
