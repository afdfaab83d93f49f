"""Models of one native operator, and ONNX Runtime's sessions of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

VARIABLE = "YOUTU_ONNX_INSTRUCTIONS"
"""Read whenever a session makes a kernel."""
DOMAIN = "youtu_onnx"
Arrays = Mapping[str, "np.ndarray[Any, Any] | None"]


def model(
    operator: str,
    inputs: Sequence[str],
    outputs: Mapping[str, type],
    constants: Arrays,
    variable: Mapping[str, tuple[type, int]],
    attributes: Mapping[str, Any],
    domain: str = DOMAIN,
) -> bytes:
    """A serialized model of one node.

    Args:
        inputs: all names, in the operator's order; one that is neither a constant nor variable is left out.
        outputs: and their types.
        constants: None: left out.
        variable: inputs of the graph, with type and rank.
    """
    given = [name if constants.get(name) is not None or name in variable else "" for name in inputs]
    while given and not given[-1]:
        given.pop()
    node = helper.make_node(operator, given, list(outputs), name="tested", domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [f"{name}{i}" for i in range(rank)]
            )
            for name, (kind, rank) in variable.items()
        ],
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), None)
            for name, kind in outputs.items()
        ],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items() if array is not None],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(domain, 1)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return made


def session(library: Path, serialized: bytes | onnx.ModelProto, instructions: str = "", threads: int = 2) -> Any:
    """A session in which kernels use an instruction set; "" for the fastest."""
    options = ort.SessionOptions()
    options.register_custom_ops_library(str(library))
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with using(instructions):
        return ort.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])


@contextmanager
def using(instructions: str) -> Iterator[None]:
    """Kernels that are made within use an instruction set."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = instructions
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
