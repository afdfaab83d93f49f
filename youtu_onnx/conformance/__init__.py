"""Whether a graph is one that a provider takes."""

from youtu_onnx.conformance.conformance import Conformance, Placement, conformance
from youtu_onnx.conformance.cuda import CUDA
from youtu_onnx.conformance.directml import DIRECTML
from youtu_onnx.conformance.table import Table
from youtu_onnx.conformance.webgpu import WEBGPU

__all__ = ["CUDA", "DIRECTML", "WEBGPU", "Conformance", "Placement", "Table", "conformance"]
