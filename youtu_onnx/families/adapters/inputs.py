"""From PEFT's adapters to what a bundle's graph takes: the inputs beside its matrices, by the table that its exporter wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import AdapterError, BundleError, UsageError, listed
from youtu_onnx.core.safetensors_files import read_headers
from youtu_onnx.families.adapters.adapter import EMBEDDING, HEAD, Adapter
from youtu_onnx.families.adapters.arrays import read_array
from youtu_onnx.families.known import architecture_of

FORMAT_VERSION = 1
MERGE = "merge it instead: youtu-onnx export --adapter DIR"
_LARGEST = 65504.0
"""Of float16."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class AdaptedMatrix:
    """One matrix of the graph, and the inputs beside it: ``lora_A`` ``[K,R]`` and ``lora_B`` ``[R,N]``.

    Attributes:
        rows: the checkpoint's modules whose rows it has, one below the other, and how many each.
        order: which of these rows stands where; None: as they come.
        factors: what each is multiplied with, where it stands; None: nothing.
    """

    name: str
    columns: int
    rows: tuple[tuple[str, int], ...]
    order: NDArray[np.int64] | None
    factors: NDArray[np.float32] | None

    @property
    def count(self) -> int:
        """N."""
        return sum(count for _, count in self.rows)

    @property
    def inputs(self) -> tuple[str, str]:
        return f"{self.name}.lora_A.weight", f"{self.name}.lora_B.weight"

    def adapted(self, adapter: Adapter) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """The inputs' values; None where the adapter changes none of its rows. Of several modules the ranks add up: the columns
        of one's A stand beside the other's, and B has zeros between them."""
        found = {module: adapter.modules[module].read() for module, _ in self.rows if module in adapter.modules}
        if not found:
            return None
        rank = sum(one.rank for one in found.values())
        down, up = np.empty((self.columns, rank), np.float32), np.zeros((rank, self.count), np.float32)
        across = first = 0
        for module, count in self.rows:
            if (one := found.get(module)) is not None:
                down[:, across : across + one.rank] = one.right.T
                up[across : across + one.rank, first : first + count] = one.scale * one.left.T
                across += one.rank
            first += count
        up = up if self.order is None else up[:, self.order]
        return down, up if self.factors is None else up * self.factors


@dataclass(frozen=True)
class AdapterInputs:
    """All of a bundle's inputs for adapters."""

    bundle: Bundle
    dtype: np.dtype[Any]
    matrices: tuple[AdaptedMatrix, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> AdapterInputs:
        """
        Raises:
            UsageError: the bundle's graph has none.
            BundleError: its table is damaged.
        """
        refuse_without_inputs(bundle)
        path = bundle.file(names.ADAPTER_INPUTS)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if fields["format_version"] != FORMAT_VERSION:
                raise BundleError(f"{path} has format version {fields['format_version']!r}", hint="upgrade youtu-onnx")
            arrays, _ = (
                read_headers((bundle.file(names.ADAPTER_ROWS),)) if names.ADAPTER_ROWS in bundle.manifest.files else ({}, [])
            )
            found = {name: read_array(name, info) for name, info in arrays.items()}
            matrices = tuple(_matrix(name, one, found) for name, one in fields["matrices"].items())
            return cls(bundle, np.dtype(fields["dtype"]), matrices)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{path} can't be read ({type(error).__name__}: {error})", hint="export the bundle again"
            ) from error

    def values(self, adapter: Adapter) -> dict[str, NDArray[Any]]:
        """By name of the input, in the graph's dtype. Inputs that aren't named stay empty.

        Raises:
            AdapterError: it changes what can't be changed beside the weights, or has NaN or numbers beyond float16's.
        """
        self._refuse(adapter)
        made: dict[str, NDArray[Any]] = {}
        for matrix in self.matrices:
            pair = matrix.adapted(adapter)
            for name, values in zip(matrix.inputs, pair or (), strict=False):
                if self.dtype == np.float16 and np.abs(values).max() > _LARGEST:
                    raise AdapterError(f"{name} would have numbers beyond float16's 65504", hint=MERGE)
                made[name] = np.ascontiguousarray(values, self.dtype)
        return made

    def _refuse(self, adapter: Adapter) -> None:
        count = {module: (rows, matrix.columns) for matrix in self.matrices for module, rows in matrix.rows}
        faults = []
        if adapter.config.dora:
            faults.append("it is a DoRA, whose rows have lengths of their own")
        faults += [f"{name} is trained whole" for name in adapter.replaced if not _is_copy(name, adapter)]
        for module, one in adapter.modules.items():
            if module not in count:
                faults.append(f"{module} has no input in this graph")
            elif one.rank > min(count[module]):
                faults.append(
                    f"{module}: rank {one.rank} of a matrix {list(count[module])}, which has no more than {min(count[module])}"
                )
        if faults:
            shown = faults[:8] + [f"… and {len(faults) - 8} more"] * (len(faults) > 8)
            raise AdapterError(listed(f"the adapter {adapter.name} can't be kept beside the weights", shown), hint=MERGE)


def refuse_without_inputs(bundle: Bundle) -> None:
    """
    Raises:
        UsageError: the bundle's graph has no inputs for adapters.
    """
    if bundle.manifest.adapters is None:
        raise UsageError(
            f"the bundle at {bundle.path} takes no adapters",
            hint="export it with --adapter-mode hot, or merge one: --adapter DIR",
        )


def _is_copy(name: str, adapter: Adapter) -> bool:
    """Whether it is the model's own embedding or head, which PEFT saves beside an adapter that changes one of the two."""
    return name in (f"{EMBEDDING}.weight", f"{HEAD}.weight") and not adapter.config.saves(name.removesuffix(".weight"))


def _matrix(name: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float32]]) -> AdaptedMatrix:
    rows = tuple((str(module), int(count)) for module, count in fields["rows"])
    order, factors = arrays.get(f"{name}.order"), arrays.get(f"{name}.factors")
    total = sum(count for _, count in rows)
    if any(array is not None and array.shape != (total,) for array in (order, factors)):
        raise ValueError(f"{name} has {total} rows, and an order or factors of another length")
    return AdaptedMatrix(name, int(fields["columns"]), rows, None if order is None else order.astype(np.int64), factors)


def open_adapter(bundle: Bundle, folder: str | Path, name: str | None = None) -> Adapter:
    """An adapter in PEFT's format, held against the shapes of a bundle's model. Raises as :meth:`Adapter.open`."""
    return Adapter.open(folder, architecture_of(bundle.manifest.model), name)
