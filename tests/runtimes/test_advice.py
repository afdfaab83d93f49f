"""One line of cause and one of cure for each way in which a provider was seen to fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from youtu_onnx.runtimes.providers.advice import advise, said_last

OBSERVED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "provider_messages.json").read_text(encoding="utf-8"))


def alone(name: str) -> str | None:
    """The metadata of a place with one ONNX Runtime."""
    return "1.31.1" if name == "onnxruntime-gpu" else None


@pytest.mark.parametrize("one", OBSERVED, ids=lambda one: one["what"])
def test_what_was_observed(one: dict[str, Any]) -> None:
    found = advise(one["provider"], one["said"], version=alone)
    if one["cure"] is None:
        assert found is None and said_last(one["said"]) == one["cause"]
        return
    assert found is not None
    assert one["cause"] in found.cause and one["cure"] in found.cure
    assert "\n" not in found.cause + found.cure and "{" not in found.cause + found.cure


@pytest.mark.parametrize(
    ("provider", "said", "cause", "cure"),
    [
        ("CUDAExecutionProvider", "CUDA failure 100: no CUDA-capable device is detected", "sees no NVIDIA GPU", "nvidia-smi"),
        (
            "CUDAExecutionProvider",
            "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
            "too old",
            "580",
        ),
        (
            "CUDAExecutionProvider",
            "Require cuDNN 9.* and CUDA 12.*. CUDA failure 35: driver version is insufficient",
            "CUDA 12",
            "525",
        ),
        ("CUDAExecutionProvider", "CUDA failure 101: invalid device ordinal ; GPU=7", "device_id", "--device"),
        ("CUDAExecutionProvider", "no kernel image is available for execution on the device", "no kernels", "-U onnxruntime-gpu"),
        ("CUDAExecutionProvider", "error: libcudnn.so.9: cannot open shared object file", "cuDNN is missing", "cudnn]"),
        ("CUDAExecutionProvider", "error: libcublas.so.12: cannot open shared object file", "libcublas.so.12", "cudnn]"),
        (
            "CUDAExecutionProvider",
            'LoadLibrary failed with error 126 "" when trying to load onnxruntime_providers_cuda.dll',
            "error 126",
            "cudnn]",
        ),
        (
            "DmlExecutionProvider",
            "DLL load failed: DirectML.dll was not found",
            "DirectML.dll is missing",
            "onnxruntime-directml",
        ),
        (
            "DmlExecutionProvider",
            "Exception(2) tid(1c) 887A0004 The specified device interface is not supported",
            "DirectX 12",
            "driver",
        ),
    ],
)
def test_what_is_documented(provider: str, said: str, cause: str, cure: str) -> None:
    found = advise(provider, said, version=alone)
    assert found is not None and cause in found.cause and cure in found.cure


def test_two_distributions_in_one_folder_come_first() -> None:
    both = {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}
    found = advise("CUDAExecutionProvider", "libcublasLt.so.13", version=both.get)
    assert found is not None and "onnxruntime and onnxruntime-gpu are both installed" in found.cause
    assert found.cure == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"


def test_nothing_is_guessed() -> None:
    assert advise("CUDAExecutionProvider", "something else", version=alone) is None
    assert advise("DmlExecutionProvider", "libcublasLt.so.13", version=alone) is None
    assert said_last("") == "" and said_last("Traceback\n  File\nValueError: no\n\n") == "ValueError: no"
