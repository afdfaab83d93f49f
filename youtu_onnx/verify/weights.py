"""Are the numbers that a bundle stores those of its checkpoint, but for rounding?

Each tensor is read back from the data file (:class:`youtu_onnx.families.reference.Twin`) and held against the checkpoint's own.
Two limits, since one number can't see everything:

- **steps**: the root mean square error of each block of a row, in steps of that block's scale; beyond the end of a range that was
  cut, the distance to that end. Rounding makes 0.29 on average and at most 0.5, whatever the numbers are like. So one zero point
  that is off by one shows (1.04), and so do rows in another's place, or scales of another row.
- **relative error**: of the whole tensor. Scales that are far too wide waste steps, and ranges that are far too narrow reach
  nothing: only this shows it.

Measured on youtu-nano and on random checkpoints of odd sizes, in every form of cache and for every target, worst of each:

| storage | steps | relative error |
|---|---|---|
| float32, factors moved | 0.17 | 9e-8 |
| float16 | 0.50 | 2.8e-4 |
| int8 | 0.46 | 0.0066 |
| int4, blocks of 16 to 256 | 0.46 | 0.11 |

These limits are those of rounding to the nearest. Codes that were calibrated make up for each other's errors and are further
from the numbers that they stand for: up to 4.7 steps a block in a language model of 177 million parameters. Of them the limits
are wider (:data:`CALIBRATED`), and see rows in another's place and scales of other rows, but no longer a zero point that is off
by one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from youtu_onnx.families.reference import Comparison


@dataclass(frozen=True)
class Limits:
    """Attributes:
    steps: of a block's root mean square error, in its steps.
    relative_error: of a tensor, by storage.
    """

    steps: float
    relative_error: Mapping[str, float]


ROUNDED = Limits(0.75, {"float32": 1e-6, "float16": 1e-3, "int8": 0.05, "int4": 0.3})
CALIBRATED = Limits(16.0, {**ROUNDED.relative_error, "int4": 0.45})
CHUNK = 2**18
"""Numbers that a thread compares at once: a MiB, which stays in the processor's cache from step to step."""
_THREADS = ThreadPoolExecutor(os.cpu_count(), "compare")
LISTED = 8
"""Tensors that are named one by one."""


@dataclass(frozen=True)
class TensorDifference:
    """One tensor of a bundle against the checkpoint's.

    Attributes:
        name: as the checkpoint calls it.
        storage: ``float32``, ``float16``, ``int8`` or ``int4``.
        relative_error: RMS of the difference over RMS of the checkpoint's; 0 where both are zero.
        steps: RMS of the worst block's errors, in its steps.
        row: of the worst block, in the checkpoint's tensor.
    """

    name: str
    storage: str
    relative_error: float
    steps: float
    row: int

    def fault(self, limits: Limits) -> str | None:
        """What is outside the limits, in words."""
        limit, steps = limits.relative_error[self.storage], limits.steps
        if not self.steps <= steps:  # NaN isn't
            return (
                f"{self.name}: row {self.row} is {self.steps:.3g} steps of {self.storage} off; rounding makes at most {steps:g}"
            )
        if not self.relative_error <= limit:
            return f"{self.name}: relative error {self.relative_error:.3g}; {self.storage} makes at most {limit:g}"
        return None

    def to_dict(self) -> dict[str, Any]:
        return {
            "tensor": self.name,
            "relative_error": _short(self.relative_error),
            "steps": _short(self.steps),
        }


@dataclass(frozen=True)
class WeightReport:
    """All tensors of a bundle.

    Attributes:
        tensors: in the order of the model.
        missing: tensors of the checkpoint that the bundle was not asked for.
        unknown: weights in the data file that are none of the model's.
        limits: that they have to keep.
    """

    tensors: tuple[TensorDifference, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    limits: Limits = ROUNDED

    @property
    def faults(self) -> tuple[str, ...]:
        found = [one.fault(self.limits) for one in self.tensors]
        listed = [fault for fault in found if fault is not None]
        listed += [f"{name}: the bundle has no such tensor" for name in self.missing]
        listed += [f"{name}: nothing of the model is stored there" for name in self.unknown]
        more = len(listed) - LISTED
        return (*listed[:LISTED], *([f"… and {more} more weights"] if more > 0 else []))

    @property
    def worst(self) -> dict[str, TensorDifference]:
        """By storage, the tensor of the largest relative error."""
        found: dict[str, TensorDifference] = {}
        for one in self.tensors:
            if one.storage not in found or not one.relative_error <= found[one.storage].relative_error:
                found[one.storage] = one
        return found

    def summary(self) -> str:
        """One line for people, where there are no faults."""
        errors = ", ".join(f"{storage} {one.relative_error:.2g}" for storage, one in self.worst.items() if one.relative_error)
        return f"{len(self.tensors)} tensors are the checkpoint's but for rounding" + (f": at most {errors}" if errors else "")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "tensors": len(self.tensors),
            "faults": list(self.faults),
            "worst": {storage: one.to_dict() for storage, one in self.worst.items()},
        }


@dataclass(frozen=True)
class _Part:
    """Of some rows: sums of squares of errors and of what is wanted; the worst block, and its row."""

    noise: float
    signal: float
    steps: float
    row: int

    @classmethod
    def of(cls, one: Comparison, rows: slice) -> _Part:
        wanted = np.ascontiguousarray(one.wanted[rows])
        found = one.found.rows(rows)
        errors = found.values - wanted
        off = found.off_by(wanted).max(1)
        worst = int(np.nan_to_num(off, nan=np.inf).argmax())
        return cls(
            float(np.vdot(errors, errors)), float(np.vdot(wanted, wanted)), float(off[worst]), one.first + rows.start + worst
        )


@dataclass
class _Sums:
    storage: str
    noise: float = 0.0
    signal: float = 0.0
    steps: float = 0.0
    row: int = 0

    def add(self, one: Comparison) -> None:
        rows, columns = one.wanted.shape
        step = max(1, CHUNK // columns)
        for part in _THREADS.map(lambda start: _Part.of(one, slice(start, start + step)), range(0, rows, step)):
            self.noise += part.noise
            self.signal += part.signal
            if not part.steps <= self.steps:
                self.steps, self.row = part.steps, part.row

    def difference(self, name: str) -> TensorDifference:
        relative = math.sqrt(self.noise / self.signal) if self.signal else 0.0 if self.noise == 0 else math.inf
        return TensorDifference(name, self.storage, relative, self.steps, self.row)


def compare_weights(
    comparisons: Iterable[Comparison],
    names: Iterable[str],
    unread: Callable[[], Sequence[str]],
    on_numbers: Callable[[int], None],
    limits: Limits = ROUNDED,
) -> WeightReport:
    """
    Args:
        comparisons: of every tensor; one may come in pieces.
        names: the checkpoint's tensors.
        unread: asked at the end: weights that no comparison read.
        on_numbers: told how many numbers were compared.
    """
    found: dict[str, _Sums] = {}
    for one in comparisons:
        found.setdefault(one.name, _Sums(one.found.storage)).add(one)
        on_numbers(one.wanted.size)
    tensors = tuple(sums.difference(name) for name, sums in found.items())
    return WeightReport(tensors, tuple(name for name in names if name not in found), tuple(unread()), limits)


def _short(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None
