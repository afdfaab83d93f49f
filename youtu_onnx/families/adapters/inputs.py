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
from youtu_onnx.families.adapters.adapted import Adapted, AdaptedHeads, AdaptedMatrix
from youtu_onnx.families.adapters.adapter import EMBEDDING, HEAD, Adapter
from youtu_onnx.families.adapters.arrays import read_array
from youtu_onnx.families.known import architecture_of
from youtu_onnx.graphs.rounded import Floats

FORMAT_VERSION = 1
MERGE = "merge it instead: youtu-onnx export --adapter DIR"
_LARGEST = 65504.0
"""Of float16."""


@dataclass(frozen=True)
class AdapterInputs:
    """All of a bundle's inputs for adapters."""

    bundle: Bundle
    dtype: np.dtype[Any]
    parts: tuple[Adapted, ...]

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
            matrices = [_matrix(name, one, found) for name, one in fields["matrices"].items()]
            heads = [_heads(name, one, found) for name, one in fields["heads"].items()]
            return cls(bundle, np.dtype(fields["dtype"]), (*matrices, *heads))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{path} can't be read ({type(error).__name__}: {error})", hint="export the bundle again"
            ) from error

    def values(self, adapter: Adapter) -> dict[str, NDArray[Any]]:
        """By name of the input, in the graph's dtype. Inputs that aren't named stay empty.

        Raises:
            AdapterError: it changes what can't be changed beside the weights, or has NaN or numbers beyond float16's.
        """
        refuse_beside(adapter, {module: size for part in self.parts for module, size in part.modules.items()})
        made: dict[str, NDArray[Any]] = {}
        for part in self.parts:
            for name, values in part.values(adapter).items():
                if self.dtype == np.float16 and np.abs(values).max() > _LARGEST:
                    raise AdapterError(f"{name} would have numbers beyond float16's 65504", hint=MERGE)
                made[name] = np.ascontiguousarray(values, self.dtype)
        return made


def refuse_beside(adapter: Adapter, sizes: Mapping[str, tuple[int, int]]) -> None:
    """
    Args:
        sizes: of the checkpoint's matrices that the graph has inputs for adapters of.

    Raises:
        AdapterError: the adapter changes what can't be changed beside the weights.
    """
    faults = []
    if adapter.config.dora:
        faults.append("it is a DoRA, whose rows have lengths of their own")
    faults += [f"{name} is trained whole" for name in adapter.replaced if not _is_copy(name, adapter)]
    for module, one in adapter.modules.items():
        if module not in sizes:
            faults.append(f"{module} has no input in this graph")
        elif one.rank > min(sizes[module]):
            most = min(sizes[module])
            faults.append(f"{module}: rank {one.rank} of a matrix {list(sizes[module])}, which has no more than {most}")
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


def _matrix(name: str, fields: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Adapted:
    rows = tuple((str(module), int(count)) for module, count in fields["rows"])
    total = sum(count for _, count in rows)
    order, factors = _array(arrays, f"{name}.order", total), _array(arrays, f"{name}.factors", total)
    return AdaptedMatrix(name, int(fields["columns"]), rows, None if order is None else order.astype(np.int64), factors)


def _heads(name: str, fields: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Adapted:
    heads, key, value, columns = (int(fields[size]) for size in ("heads", "key", "value", "columns"))
    factors = _array(arrays, f"{name}.factors", heads * key)
    return AdaptedHeads(name, str(fields["module"]), heads, key, value, columns, factors)


def _array(arrays: Mapping[str, Floats], name: str, length: int) -> Floats | None:
    found = arrays.get(name)
    if found is not None and found.shape != (length,):
        raise ValueError(f"{name} has the shape {list(found.shape)} for {length} rows")
    return found


def open_adapter(bundle: Bundle, folder: str | Path, name: str | None = None) -> Adapter:
    """An adapter in PEFT's format, held against the shapes of a bundle's model. Raises as :meth:`Adapter.open`."""
    return Adapter.open(folder, architecture_of(bundle.manifest.model), name)
