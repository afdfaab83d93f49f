"""CUDA: NVIDIA's GPUs."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Mapping
from types import ModuleType

from youtu_onnx.runtimes.providers.option import DEVICE_ID, Option, one_of, size, switch
from youtu_onnx.runtimes.providers.provider import FailureRule, OnGenai, Provider

_DRIVERS = {"13": "580", "12": "525"}
"""CUDA's major version → the first driver for it on Linux."""
_DRIVER = "install NVIDIA's driver (CUDA {major} needs {driver} or newer; nvidia-smi shows it), or choose --provider cpu"
_LIBRARIES = "pip install 'onnxruntime-gpu[cuda,cudnn]'"

_RULES = (
    FailureRule(r"(libcuda\.so[.\d]*|nvcuda\.dll)\b", "this machine has no NVIDIA driver ({1} is not there)", _DRIVER),
    FailureRule(
        r"driver version is insufficient|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|CUDA failure 35\b",
        "the NVIDIA driver is too old for CUDA {major}",
        _DRIVER,
    ),
    FailureRule(
        r"no CUDA-capable device|CUDA failure 100\b|CUDA_ERROR_NO_DEVICE",
        "CUDA sees no NVIDIA GPU",
        "check nvidia-smi and CUDA_VISIBLE_DEVICES (containers: start them with --gpus all)",
    ),
    FailureRule(
        r"invalid device ordinal|CUDA failure 101\b",
        "there is no GPU with this device_id",
        "nvidia-smi -L lists them from 0; choose one with --device",
    ),
    FailureRule(
        r"no kernel image is available|CUDA failure 209\b",
        "this onnxruntime-gpu has no kernels for this GPU",
        "pip install -U onnxruntime-gpu, or choose --provider cpu",
    ),
    FailureRule(r"(libcudnn[\w.]*|cudnn\w*64_\d+\.dll)", "cuDNN is missing ({1})", _LIBRARIES),
    FailureRule(
        r"(lib(?:cublas|cublasLt|cudart|cufft|curand|nvrtc|nvJitLink)\.so\.\d+|cu(?:blas|blasLt|dart|fft)64_\d+\.dll)",
        "CUDA's libraries are missing, or of another version ({1})",
        _LIBRARIES,
    ),
    FailureRule(r"LoadLibrary failed with error (126|127)", "CUDA's or cuDNN's libraries are missing (error {1})", _LIBRARIES),
)


def _versions(said: str) -> Mapping[str, str]:
    """The major version of CUDA that a message is about, and the driver that it needs."""
    found = re.search(r"CUDA (\d+)\.", said)
    major = found[1] if found else "13"
    return {"major": major, "driver": _DRIVERS.get(major, "one made for it")}


def _preload(onnxruntime: ModuleType) -> None:
    """Load CUDA's and cuDNN's libraries from the packages that pip installs; what fails shows when the provider starts."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()


def _driver() -> str | None:
    return "this machine has an NVIDIA driver, but onnxruntime has no CUDA" if shutil.which("nvidia-smi") else None


CUDA = Provider(
    "cuda",
    "CUDAExecutionProvider",
    "onnxruntime-gpu",
    extras="cuda,cudnn",
    aliases=("gpu", "nvidia"),
    builds=("onnxruntime-gpu",),
    device="cuda",
    prepare=_preload,
    options=(
        DEVICE_ID,
        Option("gpu_mem_limit", size),
        Option("arena_extend_strategy", one_of("kNextPowerOfTwo", "kSameAsRequested")),
        Option("use_tf32", switch),
    ),
    capture="enable_cuda_graph",
    rules=_RULES,
    words=_versions,
    sign=_driver,
    genai=OnGenai("cuda", "is_cuda_available"),
)
