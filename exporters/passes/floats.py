"""What no other pass stored is kept as it is built: norms, biases, matrices that a recipe leaves alone, and bytes."""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.quantize.packing import plain


def floats(assembly: Assembly) -> None:
    """Give every remaining parameter of the graph a plain packing."""
    for name in list(assembly.graph.initializers):
        parameter = assembly.unpacked(name)
        if parameter is not None:
            dtype = {"constant": ir.DataType.FLOAT, "bytes": ir.DataType.INT8}.get(parameter.kind, assembly.dtype)
            assembly.store(name, plain(name, parameter, dtype))
