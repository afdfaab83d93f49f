"""QNN: Qualcomm's NPUs."""

from __future__ import annotations

from youtu_onnx.runtimes.providers.provider import Provider

QNN = Provider("qnn", "QNNExecutionProvider", "onnxruntime-qnn", builds=("onnxruntime-qnn",))
