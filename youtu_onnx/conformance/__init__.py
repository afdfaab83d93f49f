"""Whether a graph is one that a provider takes."""

from youtu_onnx.conformance.conformance import Conformance, Placement, conformance
from youtu_onnx.conformance.cuda import CUDA
from youtu_onnx.conformance.directml import DIRECTML
from youtu_onnx.conformance.table import Table
from youtu_onnx.conformance.web_wasm import WEB_WASM
from youtu_onnx.conformance.webgpu import WEBGPU

TABLES = {"cuda": CUDA, "dml": DIRECTML, "webgpu": WEBGPU, "web-wasm": WEB_WASM}
"""By provider, as this project calls it; ``web-wasm`` is the CPU provider of browsers. That of other machines is taken to run
every graph."""

__all__ = ["CUDA", "DIRECTML", "TABLES", "WEBGPU", "WEB_WASM", "Conformance", "Placement", "Table", "conformance"]
