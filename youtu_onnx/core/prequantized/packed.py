"""A matrix that a checkpoint stores in fewer bits than a float has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from youtu_onnx.core.safetensors_files import TensorInfo

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """A matrix ``[N,K]`` as a file has it: number (n,k) is ``(codes[n,k] - zeros[n,g]) · scales[n,g]``, g the group of column k.

    Attributes:
        codes: uint8 ``[N,K]``, 0 to 2^bits - 1.
        scales: ``[N,G]`` in the file's dtype.
        zeros: uint8 ``[N,G]``.
        groups: int64 ``[K]``, each 0 to G - 1.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor
    groups: Tensor

    def rows(self, start: int, stop: int) -> Codes:
        return Codes(self.codes[start:stop], self.scales[start:stop], self.zeros[start:stop], self.groups)

    def dequantized(self) -> Tensor:
        """float32 ``[N,K]``."""
        centred = self.codes.float() - self.zeros.float()[:, self.groups]
        return centred * self.scales.float()[:, self.groups]


@dataclass(frozen=True)
class Kept:
    """A matrix whose codes can be taken over as they are.

    Attributes:
        bits: 4 or 8.
        symmetric: every zero point is the middle value, 2^(bits-1).
        groups: reads those of the columns alone, see :class:`Codes`.
        codes: reads all of the matrix. Both raise CheckpointError as :meth:`Packed.rows` does.
    """

    bits: int
    symmetric: bool
    groups: Callable[[], Tensor]
    codes: Callable[[], Codes]


class Packed(Protocol):
    """One matrix. Opened by headers alone; its parts are read when they are asked for.

    Attributes:
        name: under which the model knows it, ``….weight``.
        shape: ``(N, K)``.
        method: the format's name, for people.
        parts: what it is made of in the files, by the names there.
        kept: None where the numbers are no integers in groups, and only floats can be had.
    """

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def method(self) -> str: ...

    @property
    def parts(self) -> dict[str, TensorInfo]: ...

    @property
    def kept(self) -> Kept | None: ...

    def rows(self, start: int, stop: int) -> Tensor:
        """float32 ``[stop - start, K]``, by the format's own formula.

        Raises:
            CheckpointError: what the file has can't be meant: groups that aren't there, scales that are no numbers.
        """


def stored_info(packed: Packed) -> TensorInfo:
    """What a checkpoint lists in the place of a float tensor: the parts' bytes, and no place that could be read as they are."""
    parts = list(packed.parts.values())
    first: Path = parts[0].file
    return TensorInfo(packed.shape, packed.method, first, 0, sum(part.nbytes for part in parts))
