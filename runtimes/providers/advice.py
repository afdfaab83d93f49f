"""Why an execution provider did not start, in one line, and what to install or change, in another.

The causes are read from what ONNX Runtime and the system's loader say; ``tests/runtimes/provider_messages.json`` holds such texts.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-webgpu",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-windowsml",
)
"""Distributions that bring the module ``onnxruntime``; two of them overwrite each other's files."""

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
PREFIXES = re.compile(
    r"^(?:.*\[ONNXRuntimeError\] : \d+ : \w+ : )?(?:/\S*\.cc:\d+ [^)]*\)(?: const)? )?"
    r"|^\d{4}-\d\d-\d\d [\d:.]+ \[[A-Z]:[^\]]*\] "
)
"""What stands before a message: time and place of a log's line, source file and function of an exception's."""


@dataclass(frozen=True)
class Advice:
    """One line of cause, one of cure."""

    cause: str
    cure: str


@dataclass(frozen=True)
class _Rule:
    """``cause`` and ``cure`` may use the groups of ``pattern`` by number, and ``{major}``, CUDA's."""

    provider: str
    pattern: str
    cause: str
    cure: str


_CUDA, _DML, _WEBGPU, _OPENVINO = (
    "CUDAExecutionProvider",
    "DmlExecutionProvider",
    "WebGpuExecutionProvider",
    "OpenVINOExecutionProvider",
)
_DRIVER = "install NVIDIA's driver (CUDA {major} needs {driver} or newer; nvidia-smi shows it), or choose --provider cpu"
_GPU_PACKAGE = "'onnxruntime-gpu[cuda,cudnn]'"
_LIBRARIES = f"pip install {_GPU_PACKAGE}"

_RULES = (
    _Rule(_CUDA, r"(libcuda\.so[.\d]*|nvcuda\.dll)\b", "this machine has no NVIDIA driver ({1} is not there)", _DRIVER),
    _Rule(
        _CUDA,
        r"driver version is insufficient|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|CUDA failure 35\b",
        "the NVIDIA driver is too old for CUDA {major}",
        _DRIVER,
    ),
    _Rule(
        _CUDA,
        r"no CUDA-capable device|CUDA failure 100\b|CUDA_ERROR_NO_DEVICE",
        "CUDA sees no NVIDIA GPU",
        "check nvidia-smi and CUDA_VISIBLE_DEVICES (containers: start them with --gpus all)",
    ),
    _Rule(
        _CUDA,
        r"invalid device ordinal|CUDA failure 101\b",
        "there is no GPU with this device_id",
        "nvidia-smi -L lists them from 0; choose one with --device",
    ),
    _Rule(
        _CUDA,
        r"no kernel image is available|CUDA failure 209\b",
        "this onnxruntime-gpu has no kernels for this GPU",
        "pip install -U onnxruntime-gpu, or choose --provider cpu",
    ),
    _Rule(_CUDA, r"(libcudnn[\w.]*|cudnn\w*64_\d+\.dll)", "cuDNN is missing ({1})", _LIBRARIES),
    _Rule(
        _CUDA,
        r"(lib(?:cublas|cublasLt|cudart|cufft|curand|nvrtc|nvJitLink)\.so\.\d+|cu(?:blas|blasLt|dart|fft)64_\d+\.dll)",
        "CUDA's libraries are missing, or of another version ({1})",
        _LIBRARIES,
    ),
    _Rule(_CUDA, r"LoadLibrary failed with error (126|127)", "CUDA's or cuDNN's libraries are missing (error {1})", _LIBRARIES),
    _Rule(
        _DML,
        r"DirectML\.dll",
        "DirectML.dll is missing",
        "pip install --force-reinstall onnxruntime-directml, which brings it (Windows 10 1903 or newer)",
    ),
    _Rule(
        _DML,
        r"887A0004|DXGI_ERROR_UNSUPPORTED|No (?:GPUs|devices) .*detected|80070490|887A0002",
        "DirectML finds no GPU with a DirectX 12 driver",
        "update the graphics driver, choose another --device, or --provider cpu",
    ),
    _Rule(
        _WEBGPU,
        r"libvulkan\.so\.1",
        "the Vulkan loader is missing (libvulkan.so.1)",
        "install it: apt install libvulkan1 (Debian, Ubuntu), dnf install vulkan-loader (Fedora)",
    ),
    _Rule(
        _WEBGPU,
        r"found no device|(?i:failed to get a webgpu adapter|no (?:supported|suitable) adapter)|RequestAdapterStatus",
        "WebGPU finds no graphics adapter",
        "install the GPU's Vulkan driver (Linux), update its driver (Windows), or choose --provider cpu",
    ),
    _Rule(
        _WEBGPU,
        r"requires f16 but the device does not support it",
        "this adapter has no float16 (shader-f16)",
        "export with --precision fp32, choose another adapter (powerPreference), or --provider cpu",
    ),
    _Rule(
        _OPENVINO,
        r"Device (\w+) is not available",
        "OpenVINO has no device {1} here",
        "choose --provider-option device_type=CPU, or install the device's driver",
    ),
)

_CUDA_DRIVERS = {"13": "580", "12": "525"}
"""CUDA's major version → the first driver for it on Linux."""


def advise(provider: str, said: str, *, version: Callable[[str], str | None] | None = None) -> Advice | None:
    """The cause and the cure of a provider's failure; None where neither is known.

    Args:
        provider: ONNX Runtime's name.
        said: all that was said, log lines and exceptions, colours included.
        version: of an installed distribution, None for one that isn't; the default asks pip's metadata.
    """
    installed = installed_runtimes(version or distribution_version)
    if len(installed) > 1:
        return Advice(f"{' and '.join(installed)} are both installed and overwrite each other's files", reinstall(installed))
    text = ESCAPES.sub("", said)
    wanted = re.search(r"CUDA (\d+)\.", text)
    major = wanted[1] if wanted else "13"
    for rule in _RULES:
        found = re.search(rule.pattern, text) if rule.provider == provider else None
        if found:
            words = ["", *(group or "" for group in found.groups())]
            facts = {"major": major, "driver": _CUDA_DRIVERS.get(major, "one made for it")}
            return Advice(rule.cause.format(*words, **facts), rule.cure.format(*words, **facts))
    return None


def said_last(text: str) -> str:
    """The line that says most where no rule knows the cause: the last error of a log, without time and place."""
    lines = [ESCAPES.sub("", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if "[E:" in line or "Error" in line or "Exception" in line]
    return PREFIXES.sub("", (errors or lines or [""])[-1], count=1)


def installed_runtimes(version: Callable[[str], str | None]) -> list[str]:
    """Those of :data:`RUNTIMES` that are installed, in its order."""
    return [name for name in RUNTIMES if version(name)]


def reinstall(installed: Sequence[str]) -> str:
    """The command that leaves one of several distributions of the same module: the last named, which no other overwrote."""
    kept = {"onnxruntime-gpu": _GPU_PACKAGE}.get(installed[-1], installed[-1])
    return f"pip uninstall -y {' '.join(installed)} && pip install {kept}"


def distribution_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
