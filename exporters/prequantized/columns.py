"""Groups of columns, as a file has them, in the blocks that MatMulNBits has: runs of 16 to 256, each of one scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from youtu_onnx.core.recipe import BLOCK_SIZES


@dataclass(frozen=True)
class Columns:
    """Attributes:
    order: of the columns in the bundle, where it isn't the file's; the matrix is then multiplied with inputs in this order.
    block: the largest block size of which every block lies in one group.
    """

    order: tuple[int, ...] | None
    block: int


def columns_of(groups: Tensor) -> Columns | None:
    """How columns of these groups, int64 ``[K]``, are blocked; None: no block size does.

    Groups that lie apart (``desc_act``) are brought together, each with its columns as they follow one another.
    """
    block = _largest_block(groups)
    if block is not None:
        return Columns(None, block)
    order = torch.argsort(groups, stable=True)
    block = _largest_block(groups[order])
    return None if block is None else Columns(tuple(order.tolist()), block)


def _largest_block(groups: Tensor) -> int | None:
    for size in sorted(BLOCK_SIZES, reverse=True):
        padded = torch.cat([groups, groups[-1:].expand(-len(groups) % size)]).view(-1, size)
        if bool((padded == padded[:, :1]).all()):
            return size
    return None
