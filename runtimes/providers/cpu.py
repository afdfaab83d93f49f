"""The processor, which every ONNX Runtime has."""

from __future__ import annotations

from youtu_onnx.runtimes.providers.option import KERNELS
from youtu_onnx.runtimes.providers.provider import OnGenai, Provider

CPU = Provider(
    "cpu",
    "CPUExecutionProvider",
    "onnxruntime",
    builds=("onnxruntime",),
    options=(KERNELS,),
    other_options=(),
    genai=OnGenai(),
)
