"""Files in ONNX Runtime's adapter format, which onnxruntime-genai reads as well: names of a graph's inputs, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import AdapterError
from youtu_onnx.families.adapters.inputs import AdapterInputs, open_adapter

MAKE_AGAIN = "make it again, for this bundle: youtu-onnx adapter BUNDLE --add DIR"
VERSION = 1
"""Of an adapter and of the model that it is for: numbers of its maker's own, which nobody reads."""


def write_adapter(path: Path, values: Mapping[str, NDArray[Any]]) -> None:
    """
    Raises:
        OSError: the disk is full.
    """
    made = ort.AdapterFormat()
    made.set_adapter_version(VERSION)
    made.set_model_version(VERSION)
    made.set_parameters({name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in values.items()})
    made.export_adapter(str(path))


def read_values(bundle: Bundle, path: Path) -> dict[str, NDArray[Any]]:
    """What an adapter gives the inputs of a bundle's graph: a folder in PEFT's format, or a file in ONNX Runtime's.

    Raises:
        AdapterError: it can't be read, or can't be kept beside this bundle's weights.
    """
    inputs = AdapterInputs.of(bundle)
    if path.is_dir():
        return inputs.values(open_adapter(bundle, path))
    if not path.is_file():
        raise AdapterError(f"no adapter at {path}", hint=f"name a folder in PEFT's format, or a file *{names.ADAPTER_SUFFIX}")
    try:
        found = ort.AdapterFormat.read_adapter(str(path)).get_parameters()
    except Exception as error:  # the binding raises its own classes, all bare Exceptions
        raise AdapterError(
            f"{path} is no file in ONNX Runtime's adapter format", hint="name the folder that PEFT's save_pretrained wrote"
        ) from error
    values = {name: np.array(value.numpy()) for name, value in found.items()}
    _check(path, values, inputs)
    return values


def _check(path: Path, values: Mapping[str, NDArray[Any]], inputs: AdapterInputs) -> None:
    """For each part of the graph all of its inputs, finite and of one rank, or none; and nothing else."""
    left = dict(values)
    for part in inputs.parts:
        given = {name: left.pop(name) for name in part.inputs if name in left}
        if not given:
            continue
        ranks = set()
        for name, shape in part.inputs.items():
            array = given.get(name)
            if array is None or array.dtype != inputs.dtype or not np.isfinite(array).all():
                raise AdapterError(f"{path}: {name} is no finite array of {inputs.dtype}", hint=MAKE_AGAIN)
            place = shape.index(None)
            found = array.shape[:place], array.shape[place + 1 :]
            if array.ndim != len(shape) or found != (shape[:place], shape[place + 1 :]):
                expected = ["R" if size is None else size for size in shape]
                raise AdapterError(f"{path}: {name} is {list(array.shape)}; expected {expected}", hint=MAKE_AGAIN)
            ranks.add(array.shape[place])
        most = sum(min(size) for size in part.modules.values())
        if len(ranks) > 1 or max(ranks) > most:
            raise AdapterError(
                f"{path}: {min(given)} has ranks {sorted(ranks)}; expected one, of at most {most}", hint=MAKE_AGAIN
            )
    if left:
        raise AdapterError(f"{path} has what this bundle has no input for: {min(left)}", hint=MAKE_AGAIN)
