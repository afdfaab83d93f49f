"""Does an execution provider really run? Each is tried in a process of its own, so that a crash is a finding.

``onnxruntime.get_available_providers()`` lists what was compiled in; whether the driver and its libraries are there
shows only when a session is made, and ONNX Runtime then goes on with the CPU without failing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from youtu_onnx.runtimes.providers.advice import advise, said_last

SECONDS = 120
"""A first start of CUDA or DirectML may compile kernels."""

_SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[3])
import numpy, onnxruntime
from runtimes.provider_options import ProviderOptions
from runtimes.providers import PROVIDERS, Provider
from runtimes.sessions import available, open_session, plugin_failure
row = next((one for one in PROVIDERS if one.ort == sys.argv[2]), Provider(sys.argv[2], sys.argv[2], None))
listed = available(row)
if plugin_failure(row) or row.ort not in listed:
    sys.exit(plugin_failure(row) or f"it is not in the installed onnxruntime, which has {', '.join(listed)}")
options = onnxruntime.SessionOptions()
session = open_session(bytes.fromhex(sys.argv[1]), options, row, ProviderOptions.of(json.loads(sys.argv[4])), quiet=False)
x = numpy.arange(16, dtype=numpy.float32).reshape(4, 4)
[y] = session.run(None, {"x": x})
print(json.dumps({"runs_on": session.get_providers()[0], "right": bool(numpy.allclose(y, x @ x))}))
"""
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Probe:
    """One provider, by ONNX Runtime's name: whether it ran a matrix product, if not why, and what helps where that is known."""

    provider: str
    works: bool
    detail: str
    advice: str | None = None


def probe(provider: str, options: Mapping[str, object] | None = None) -> Probe:
    """Run a 4×4 matrix product on a provider in a new Python process.

    Args:
        provider: ONNX Runtime's name of it.
        options: the provider's options, as ``ProviderOptions.of`` takes them.
    """
    command = [sys.executable, "-c", _SCRIPT, tiny_model().hex(), provider, str(_ROOT), json.dumps(dict(options or {}))]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return Probe(provider, False, f"no answer within {SECONDS} s")
    except OSError as error:
        return Probe(provider, False, f"no process could be started ({error})")
    if ended.returncode < 0:
        return Probe(provider, False, f"crashed (signal {-ended.returncode})")
    lines = ended.stdout.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if ended.returncode == 0 else None
    except (ValueError, IndexError):
        answer = None
    if answer is not None and answer["runs_on"] == provider:
        return Probe(
            provider, bool(answer["right"]), "ran a matrix product" if answer["right"] else "gave a wrong matrix product"
        )
    known = advise(provider, ended.stderr)
    if known:
        return Probe(provider, False, known.cause, known.cure)
    if answer is not None:
        said = said_last(ended.stderr)
        detail = f"could not start; onnxruntime went on with {answer['runs_on']}"
        return Probe(provider, False, f"{detail} ({said})" if said else detail)
    return Probe(provider, False, said_last(ended.stderr) or f"ended with exit code {ended.returncode:#x}")


def tiny_model() -> bytes:
    """An ONNX model of one node, ``y = MatMul(x, x)`` on float32 [4,4], written field by field: no onnx package needed.

    Field numbers are those of onnx.proto; protobuf marks each field with ``number << 3 | kind`` (0 integer, 2 bytes).
    """
    dims = _bytes(1, _integer(1, 4)) * 2  # TensorShapeProto.dim = {dim_value 4}, twice
    tensor = _bytes(2, _bytes(1, _integer(1, 1) + _bytes(2, dims)))  # ValueInfoProto.type = {tensor_type {FLOAT, shape}}
    node = _bytes(1, b"x") * 2 + _bytes(2, b"y") + _bytes(4, b"MatMul")
    graph = _bytes(1, node) + _bytes(2, b"probe") + _bytes(11, _bytes(1, b"x") + tensor) + _bytes(12, _bytes(1, b"y") + tensor)
    return _integer(1, 8) + _bytes(7, graph) + _bytes(8, _integer(2, 17))  # ir_version 8, graph, opset_import {version 17}


def _integer(field: int, value: int) -> bytes:
    return bytes([field << 3, value])  # one byte holds what is below 128


def _bytes(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2, len(content)]) + content
