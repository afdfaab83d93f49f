"""Adapters as values that a step's inputs are bound to."""

from __future__ import annotations

import onnxruntime as ort

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.adapter_store import AdapterStore
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.ort.adapter_files import read_values


def open_adapters(bundle: Bundle) -> AdapterStore | None:
    """None where the bundle's graph takes none."""
    if bundle.manifest.adapters is None:
        return None
    return AdapterStore(
        bundle,
        lambda path: {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in read_values(bundle, path).items()},
    )


def bind_adapter(binding: ort.IOBinding, adapter: ActiveAdapter | None) -> None:
    """Inputs that nothing is bound to have no rank. Where a binding is used again, it has to be cleared for another adapter."""
    for name, value in adapter.values.items() if adapter is not None else ():
        binding.bind_ortvalue_input(name, value)
