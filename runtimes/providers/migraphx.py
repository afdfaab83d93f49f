"""MIGraphX: AMD's GPUs."""

from __future__ import annotations

from youtu_onnx.runtimes.providers.option import DEVICE_ID
from youtu_onnx.runtimes.providers.provider import Provider

MIGRAPHX = Provider(
    "migraphx",
    "MIGraphXExecutionProvider",
    None,
    aliases=("rocm",),
    device="cuda",  # what ONNX Runtime calls the memory of AMD's GPUs, too
    options=(DEVICE_ID,),
)
