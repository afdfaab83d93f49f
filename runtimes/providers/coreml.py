"""Core ML: Apple's GPUs and Neural Engine."""

from __future__ import annotations

from youtu_onnx.runtimes.providers.provider import Provider

COREML = Provider("coreml", "CoreMLExecutionProvider", "onnxruntime", builds=("onnxruntime",))
