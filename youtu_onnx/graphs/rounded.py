"""Numbers as a file keeps them, and how finely it could have told them apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RESOLUTION = {"float32": 2.0**-20, "float16": 2.0**-10}
"""Distance of neighbouring floats, relative to them; of float32 eight times that, for factors are multiplied and divided by."""
SMALLEST = {"float32": 2.0**-146, "float16": 2.0**-24}
"""The distance where floats are too small for it to become less."""


@dataclass(frozen=True)
class Rounded:
    """Rows of a matrix.

    Attributes:
        values: float32 ``[N,K]``.
        storage: ``float32``, ``float16``, ``int8`` or ``int4``.
        steps: float32 ``[N,G]``. Of integers, G = ceil(K / block): what one more in the code of a number changes it by. Of
            floats, G = 1: the least distance of two.
        block: numbers along K that share a step; of floats not used.
        ends: float32 ``[N,G,2]``, the least and the greatest number that a block could have had; None where none ends.
    """

    values: Floats
    storage: str
    steps: Floats
    block: int = 1
    ends: Floats | None = None

    @classmethod
    def floats(cls, found: NDArray[Any]) -> Rounded:
        """``[N,K]`` of a float dtype; ``[N]`` counts as rows of one number."""
        values = np.ascontiguousarray(found, np.float32).reshape(len(found), -1)
        return cls(values, found.dtype.name, np.full((len(values), 1), SMALLEST[found.dtype.name], np.float32))

    @classmethod
    def codes(cls, found: NDArray[np.int8]) -> Rounded:
        """``[N,K]`` that count as they are."""
        return cls(found.astype(np.float32), "int8", np.ones((len(found), 1), np.float32), found.shape[1])

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, which: slice | NDArray[Any]) -> Rounded:
        """Some rows, in the order of ``which``."""
        return replace(
            self,
            values=self.values[which],
            steps=self.steps[which],
            ends=None if self.ends is None else self.ends[which],
        )

    def with_rows(self, which: NDArray[np.bool_], values: Floats) -> Rounded:
        """Other numbers in some rows, which no range holds."""
        made, ends = self.values.copy(), None if self.ends is None else self.ends.copy()
        made[which] = values
        if ends is not None:
            ends[which] = (-np.inf, np.inf)
        return replace(self, values=made, ends=ends)

    def times(self, factors: Floats) -> Rounded:
        """Each row multiplied; factors ``[N]``."""
        ends = None if self.ends is None else np.sort(self.ends * factors[:, None, None], axis=-1)
        return replace(self, values=self.values * factors[:, None], steps=self.steps * np.abs(factors)[:, None], ends=ends)

    def above(self, below: Rounded) -> Rounded:
        """Both, these rows first; of one storage, and blocked alike."""
        ends = None if self.ends is None or below.ends is None else np.concatenate([self.ends, below.ends])
        return replace(
            self,
            values=np.concatenate([self.values, below.values]),
            steps=np.concatenate([self.steps, below.steps]),
            ends=ends,
        )

    def off_by(self, wanted: Floats) -> Floats:
        """:meth:`in_steps` of how far these numbers are from ``wanted`` ``[N,K]``, or from the end of their block's range where
        that was cut before it: what no code could have come closer to is not counted."""
        return self.in_steps(self.values - self._in_reach(wanted))

    def _in_reach(self, wanted: Floats) -> Floats:
        if self.ends is None:
            return wanted
        low, high = (np.repeat(ends, self.block, axis=1)[:, : wanted.shape[1]] for ends in (self.ends[..., 0], self.ends[..., 1]))
        clipped: Floats = np.clip(wanted, low, high)
        return clipped

    def in_steps(self, errors: Floats) -> Floats:
        """Errors ``[N,K]`` of these numbers → ``[N,G]``: the root mean square of each block's, in steps; of floats, whose steps
        grow with them, each number's.

        Rounding to the nearest makes 0.29 on average, and 0.5 at most.
        """
        if self.storage in RESOLUTION:
            steps: Floats = np.abs(self.values)
            steps *= np.float32(RESOLUTION[self.storage])
            np.maximum(steps, self.steps, out=steps)
            return np.divide(np.abs(errors), steps, out=steps)
        rows, columns = errors.shape
        groups = self.steps.shape[1]
        padded: Floats = errors
        if columns < groups * self.block:
            padded = np.pad(errors, ((0, 0), (0, groups * self.block - columns)))
        blocks = padded.reshape(rows, groups, self.block)
        counts = np.minimum(self.block, columns - self.block * np.arange(groups)).astype(np.float32)
        squares: Floats = np.einsum("ngb,ngb->ng", blocks, blocks)
        blockwise: Floats = np.sqrt(squares / counts) / self.steps
        return blockwise
