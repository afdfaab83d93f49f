"""Parts as graphs are made of them: traced, and without what no step should compute."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from youtu_onnx.graphs.axes import TORCH_DTYPES
from youtu_onnx.graphs.static_reshape import static_reshape
from youtu_onnx.graphs.trace import Part, trace


def traced_parts(wanted: Mapping[str, Part], *, float_dtype: str, opset: int) -> dict[str, ir.Model]:
    """See :func:`youtu_onnx.graphs.trace.trace`; ``float_dtype`` is ``"float32"`` or ``"float16"``."""
    made = trace(wanted, dtype=TORCH_DTYPES[float_dtype], opset=opset)
    for part in made.values():
        static_reshape(part)
        RemoveUnusedNodesPass()(part)
    return made
