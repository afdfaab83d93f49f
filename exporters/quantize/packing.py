"""From parameters to the bytes that operators read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.assembly import Packing, Piece
from youtu_onnx.exporters.quantize.chunks import by_rows
from youtu_onnx.exporters.quantize.quantized import Quantized
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, Quantizer
from youtu_onnx.graphs.parameter import Parameter

TORCH_DTYPES = {ir.DataType.FLOAT: torch.float32, ir.DataType.FLOAT16: torch.float16, ir.DataType.INT8: torch.int8}
LABELS = {ir.DataType.FLOAT: "float32", ir.DataType.FLOAT16: "float16", ir.DataType.INT8: "int8 per row"}


def pack_nibbles(values: Tensor) -> Tensor:
    """uint8 values below 16 along the last axis → half as many bytes, the first of a pair in the low half.

    An odd number of values is padded with 0.
    """
    values = torch.nn.functional.pad(values, (0, values.shape[-1] % 2)).contiguous()
    pairs = values.view(torch.int16)  # little-endian: the first of a pair is the low byte
    return (pairs | (pairs >> 4)).to(torch.uint8)  # keeps the low byte


def unpack_nibbles(packed: Tensor) -> Tensor:
    """:func:`pack_nibbles` undone: two values of each byte, that of the low half first."""
    return torch.stack([packed & 15, packed >> 4], -1).flatten(-2)


def blockwise(
    name: str,
    parameter: Parameter,
    storage: Blockwise,
    dtype: ir.DataType,
    quantizer: Quantizer,
    *,
    zero_points: bool,
    statistics: Callable[[Parameter], InputStatistics | None] = lambda _: None,
    rounded: Callable[[Parameter, Callable[[], Tensor]], None] | None = None,
) -> Packing:
    """MatMulNBits' tensors for a matrix [N,K] with G blocks a row: B ``[N,G,bytes]``, scales ``[N,G]``, zero points.

    Args:
        dtype: of the scales.
        quantizer: chooses the numbers; how they lie in bytes is decided here.
        zero_points: write them even where they all are the middle value.
        statistics: what is known of the matrix's inputs; asked when it is packed.
        rounded: told how to see what the matrix became, ``[N,K]``, when that is known.
    """
    rows, columns = parameter.shape
    groups = -(-columns // storage.block_size)
    per_byte = 8 // storage.bits
    pieces = [
        Piece(f"{name}_q{storage.bits}", ir.DataType.UINT8, (rows, groups, storage.block_size // per_byte)),
        Piece(f"{name}_scales", dtype, (rows, groups)),
    ]
    if zero_points or not storage.symmetric:
        pieces.append(Piece(f"{name}_zero_points", ir.DataType.UINT8, (rows, -(-groups // per_byte))))

    def pack(read: Callable[[], Tensor]) -> tuple[NDArray[Any], ...]:
        inputs = statistics(parameter)  # first: a layer or two may have to be computed for it, and the head has half a gigabyte
        quantized_rows = quantizer.begin(read(), storage, TORCH_DTYPES[dtype], inputs)
        made = [np.empty(piece.shape, piece.dtype.numpy()) for piece in pieces]

        def fill(start: int, stop: int) -> None:
            quantized = quantized_rows(start, stop)
            codes, zeros = quantized.codes, quantized.zero_points
            if zeros is None:
                zeros = torch.full(quantized.scales.shape, 2 ** (storage.bits - 1), dtype=torch.uint8)
            if storage.bits == 4:
                codes, zeros = pack_nibbles(codes), pack_nibbles(zeros)
            for array, tensor in zip(made, (codes, quantized.scales, zeros), strict=False):  # zero points may have no piece
                array[start:stop] = tensor.numpy()

        by_rows(fill, rows, columns)
        return tuple(made)

    def packed(arrays: tuple[NDArray[Any], ...]) -> None:
        if rounded is not None:
            rounded(parameter, lambda: unpacked(arrays, storage)[:, :columns])

    return Packing(parameter, tuple(pieces), pack, f"int{storage.bits} block {storage.block_size}", storage, packed)


def unpacked(arrays: Sequence[NDArray[Any]], storage: Blockwise) -> Tensor:
    """The numbers that a packing of :func:`blockwise` stands for: float32 ``[N,K]``, K as it is padded to whole blocks."""
    codes, scales, *rest = (torch.from_numpy(array) for array in arrays)
    groups, zeros = scales.shape[1], rest[0] if rest else None
    if storage.bits == 4:
        codes, zeros = unpack_nibbles(codes), None if zeros is None else unpack_nibbles(zeros)[:, :groups]
    return Quantized(codes, scales, zeros, storage.bits).dequantize()


def plain(name: str, parameter: Parameter, dtype: ir.DataType, *, transposed: bool = False) -> Packing:
    """A tensor of one piece, as it is built or transposed to [K,N]."""
    shape = parameter.shape[::-1] if transposed else parameter.shape
    piece = Piece(name, dtype, shape)

    def pack(read: Callable[[], Tensor]) -> tuple[NDArray[Any], ...]:
        weight = read().to(TORCH_DTYPES[dtype])
        return (np.ascontiguousarray((weight.T if transposed else weight).numpy()),)

    return Packing(parameter, (piece,), pack, LABELS[dtype])
