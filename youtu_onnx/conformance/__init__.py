"""Whether a graph is one that a provider takes."""

from youtu_onnx.conformance.conformance import Conformance, Placement, conformance
from youtu_onnx.conformance.cuda import CUDA
from youtu_onnx.conformance.directml import DIRECTML
from youtu_onnx.conformance.table import Table
from youtu_onnx.conformance.webgpu import WEBGPU

TABLES = {"cuda": CUDA, "dml": DIRECTML, "webgpu": WEBGPU}
"""By target. The CPU provider runs every graph that it opens."""

__all__ = ["CUDA", "DIRECTML", "TABLES", "WEBGPU", "Conformance", "Placement", "Table", "conformance"]
