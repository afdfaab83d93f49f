"""WebGPU, as a plugin for desktops: Vulkan, Direct3D or Metal underneath."""

from __future__ import annotations

from youtu_onnx.runtimes.providers.provider import FailureRule, OnGenai, Provider

_RULES = (
    FailureRule(
        r"libvulkan\.so\.1",
        "the Vulkan loader is missing (libvulkan.so.1)",
        "install it: apt install libvulkan1 (Debian, Ubuntu), dnf install vulkan-loader (Fedora)",
    ),
    FailureRule(
        r"found no device|(?i:failed to get a webgpu adapter|no (?:supported|suitable) adapter)|RequestAdapterStatus",
        "WebGPU finds no graphics adapter",
        "install the GPU's Vulkan driver (Linux), update its driver (Windows), or choose --provider cpu",
    ),
    FailureRule(
        r"requires f16 but the device does not support it",
        "this adapter has no float16 (shader-f16)",
        "export with --precision fp32, choose another adapter (powerPreference), or --provider cpu",
    ),
)
_ADAPTER = "; WebGPU chooses its adapter by --provider-option powerPreference=high-performance or low-power"

WEBGPU = Provider(
    "webgpu",
    "WebGpuExecutionProvider",
    "onnxruntime-ep-webgpu",
    builds=("onnxruntime-webgpu",),
    plugin="onnxruntime_ep_webgpu",
    device="webgpu",
    other_options=(
        "dawnBackendType",
        "defaultBufferCacheMode",
        "enableGraphCapture",
        "enableInt64",
        "enableRobustness",
        "forceCpuNodeNames",
        "maxNumPendingDispatches",
        "maxStorageBufferBindingSize",
        "powerPreference",
        "preferredLayout",
        "preserveDevice",
        "queryResolveBufferCacheMode",
        "storageBufferCacheMode",
        "uniformBufferCacheMode",
        "validationMode",
    ),
    capture="enableGraphCapture",
    instead=(("device_id", _ADAPTER), ("performance_preference", _ADAPTER)),
    rules=_RULES,
    genai=OnGenai("WebGPU", "is_webgpu_available"),
)
