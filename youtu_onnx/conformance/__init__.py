"""Whether a graph is one that a provider takes."""

from youtu_onnx.conformance.conformance import Conformance, Placement, conformance
from youtu_onnx.conformance.cuda import CUDA
from youtu_onnx.conformance.directml import DIRECTML
from youtu_onnx.conformance.table import Table

__all__ = ["CUDA", "DIRECTML", "Conformance", "Placement", "Table", "conformance"]
