"""Tensors of a safetensors file as numpy's float32: on machines that have no torch, adapters are read as well."""

from __future__ import annotations

import numpy as np

from youtu_onnx.core.errors import AdapterError
from youtu_onnx.core.safetensors_files import TensorInfo
from youtu_onnx.graphs.rounded import Floats

_DTYPES = {"float32": "<f4", "float16": "<f2", "float64": "<f8", "bfloat16": "<u2"}


def read_array(name: str, info: TensorInfo) -> Floats:
    """A whole tensor, float32.

    Raises:
        AdapterError: the file shrank since it was opened, or the tensor holds NaN or infinity.
    """
    try:
        with info.file.open("rb") as stream:
            stream.seek(info.offset)
            data = stream.read(info.nbytes)
    except OSError as error:
        raise AdapterError(f"{info.file}: can't be read ({error.strerror or error})", hint="check the disk") from error
    if len(data) < info.nbytes:
        raise AdapterError(f"{info.file} was cut short while it was being read", hint="copy the adapter again")
    found = np.frombuffer(data, _DTYPES[info.dtype]).reshape(info.shape)
    if info.dtype == "bfloat16":  # the upper half of a float32
        found = (found.astype(np.uint32) << 16).view(np.float32)
    values: Floats = found.astype(np.float32)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise AdapterError(
            f"{name} in {info.file} holds {count} NaN or infinite value{'s' * (count > 1)}",
            hint="copy the adapter again; if it persists, its training failed",
        )
    return values
