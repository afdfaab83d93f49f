"""The parts of a packed matrix, held against what they must be, and unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.safetensors_files import TensorInfo, read_rows

if TYPE_CHECKING:
    from torch import Tensor

FLOATS = ("float32", "float16", "bfloat16")
"""What scales are stored in."""
ANOTHER = "download the checkpoint again, or export from the one before it was quantized, in bfloat16, float16 or float32"


def unusable(name: str, why: str, hint: str = ANOTHER) -> CheckpointError:
    return CheckpointError(f"{name} can't be unpacked: {why}", hint=hint)


def check(name: str, info: TensorInfo, dtypes: tuple[str, ...], *shapes: tuple[int, ...]) -> None:
    """
    Args:
        name: the file's.
        shapes: any of which it may have; none: whatever it has.

    Raises:
        CheckpointError: another dtype, or another shape.
    """
    if info.dtype not in dtypes:
        raise unusable(name, f"it is {info.dtype}; expected {' or '.join(dtypes)}")
    if shapes and info.shape not in shapes:
        raise unusable(name, f"it has shape {list(info.shape)}; expected {' or '.join(str(list(shape)) for shape in shapes)}")


def whole(name: str, info: TensorInfo) -> Tensor:
    """A part as the file has it, scalars as vectors of one."""
    if not info.shape:
        info = TensorInfo((1,), info.dtype, info.file, info.offset, info.nbytes)
    return read_rows(name, info, 0, info.shape[0])


def unpacked(words: Tensor, bits: int) -> Tensor:
    """int32 ``[R,W]``, the first of a word's numbers in its lowest bits → uint8 ``[R, W·32/bits]``."""
    import torch

    octets = words.contiguous().view(torch.uint8)
    if bits == 8:
        return octets
    return torch.stack([octets & 15, octets >> 4], -1).flatten(1)


def group_of_columns(columns: int, groups: int, size: int) -> Tensor:
    """int64 ``[K]`` of groups that follow one another."""
    import torch

    return (torch.arange(columns) // size).clamp_(max=groups - 1)


def group_size(name: str, columns: int, groups: int, said: int | None) -> int:
    """Numbers of a group, of which a row of so many has ``groups``. ``said``: by the config, -1 for whole rows.

    Raises:
        CheckpointError: no size makes so many groups.
    """
    if groups == 1:
        return columns
    if said is not None and said > 0 and -(-columns // said) == groups:
        return said
    if groups < 1 or columns % groups:
        raise unusable(
            name, f"a row has {columns} numbers and {groups} scales, and groups of {said or 'one size'} don't make so many"
        )
    return columns // groups


def checked_groups(name: str, found: Tensor, groups: int) -> Tensor:
    """An index of groups that a file has: int64.

    Raises:
        CheckpointError: it names groups that aren't there.
    """
    index: Tensor = found.long()
    if int(index.min()) < 0 or int(index.max()) >= groups:
        raise unusable(name, f"it names groups {int(index.min())} to {int(index.max())}, and there are {groups}")
    return index
