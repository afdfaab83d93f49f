"""The processor, which every ONNX Runtime has."""

from __future__ import annotations

from youtu_onnx.runtimes.providers.provider import OnGenai, Provider

CPU = Provider(
    "cpu",
    "CPUExecutionProvider",
    "onnxruntime",
    builds=("onnxruntime",),
    no_options="drop them, set its threads with --threads, or choose another --provider",
    genai=OnGenai(),
)
