"""Codes that nobody chooses: those of the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from youtu_onnx.core.prequantized.packed import Codes
from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.quantize.quantized import Quantized
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, Quantizer, RowsOf, quantize
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.graphs.parameter import Parameter, Rows


@dataclass(frozen=True)
class KeptCodes:
    """A :class:`~youtu_onnx.exporters.quantize.quantizer.Quantizer` of one parameter, whose rows are a checkpoint's.

    Codes and zero points go where the rows go. A factor of a row goes into its scales: nothing is rounded anew. Rows of tensors
    that are floats are left to ``rest``.

    Attributes:
        order: of the columns, see :class:`youtu_onnx.exporters.prequantized.columns.Columns`.
    """

    checkpoint: Checkpoint
    parameter: Parameter
    order: tuple[int, ...] | None
    rest: Quantizer

    def begin(self, weight: Tensor, storage: Blockwise, scale_dtype: torch.dtype, inputs: InputStatistics | None) -> RowsOf:
        """Reads the packed tensors; of ``weight``, ``[N,K]`` in the file's order of columns, only rows of other tensors count."""
        parts, start = [], 0
        for rows in self.parameter.rows:
            order = rows.order() if rows.order is not None else torch.arange(self.checkpoint.tensors[rows.tensor].shape[0])
            packed = self.checkpoint.packed.get(rows.tensor)
            if packed is not None and packed.kept is not None:
                parts.append(self._kept(packed.kept.codes(), rows, order, storage, scale_dtype))
            else:
                floats = weight[start : start + len(order)]
                floats = floats if self.order is None else floats[:, torch.tensor(self.order)]
                parts.append(quantize(self.rest, floats, storage, scale_dtype, inputs if self.order is None else None))
            start += len(order)
        whole = Quantized.joined(parts) if storage.symmetric else Quantized.joined([_with_zeros(part) for part in parts])
        return lambda start, stop: Quantized(
            whole.codes[start:stop],
            whole.scales[start:stop],
            None if whole.zero_points is None else whole.zero_points[start:stop],
            storage.bits,
        )

    def _kept(self, codes: Codes, rows: Rows, order: Tensor, storage: Blockwise, scale_dtype: torch.dtype) -> Quantized:
        columns = torch.arange(codes.codes.shape[1]) if self.order is None else torch.tensor(self.order)
        groups = codes.groups[columns][:: storage.block_size]  # each block lies in one
        scales, zeros = codes.scales[order][:, groups].float(), codes.zeros[order][:, groups]
        if rows.factors is not None:
            given = {name: self.checkpoint.tensor(name) for name in self.parameter.sources}
            scales = scales * rows.factors(given).float().unsqueeze(1)
        values = codes.codes[order][:, columns]
        count, padding = len(groups), -len(columns) % storage.block_size
        if padding:  # with what counts as zero
            values = torch.cat([values, zeros[:, -1:].expand(-1, padding)], 1)
        blocks = values.reshape(len(order), count, storage.block_size)
        return Quantized(blocks, scales.to(scale_dtype), None if storage.symmetric else zeros, storage.bits)


def _with_zeros(part: Quantized) -> Quantized:
    if part.zero_points is not None:
        return part
    middle = torch.full(part.scales.shape, 2 ** (part.bits - 1), dtype=torch.uint8)
    return Quantized(part.codes, part.scales, middle, part.bits)
