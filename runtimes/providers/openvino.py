"""OpenVINO: Intel's processors, GPUs and NPUs."""

from __future__ import annotations

from youtu_onnx.runtimes.providers.provider import FailureRule, Provider

OPENVINO = Provider(
    "openvino",
    "OpenVINOExecutionProvider",
    "onnxruntime-openvino",
    builds=("onnxruntime-openvino",),
    other_options=(
        "cache_dir",
        "device_luid",
        "device_type",
        "disable_dynamic_shapes",
        "enable_causallm",
        "enable_opencl_throttling",
        "enable_qdq_optimizer",
        "layout",
        "load_config",
        "model_priority",
        "num_of_threads",
        "num_streams",
        "precision",
        "reshape_input",
    ),
    rules=(
        FailureRule(
            r"Device (\w+) is not available",
            "OpenVINO has no device {1} here",
            "choose --provider-option device_type=CPU, or install the device's driver",
        ),
    ),
)
