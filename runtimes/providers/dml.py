"""DirectML: any GPU of Windows."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.providers.option import DEVICE_ID, Option, one_of
from youtu_onnx.runtimes.providers.provider import FailureRule, Provider

_RULES = (
    FailureRule(
        r"DirectML\.dll",
        "DirectML.dll is missing",
        "pip install --force-reinstall onnxruntime-directml, which brings it (Windows 10 1903 or newer)",
    ),
    FailureRule(
        r"887A0004|DXGI_ERROR_UNSUPPORTED|No (?:GPUs|devices) .*detected|80070490|887A0002",
        "DirectML finds no GPU with a DirectX 12 driver",
        "update the graphics driver, choose another --device, or --provider cpu",
    ),
)


def _check(given: Mapping[str, str]) -> None:
    if "device_id" in given and {"performance_preference", "device_filter"} & given.keys():
        raise UsageError(
            "DirectML given a device_id looks at no performance_preference or device_filter",
            hint="name the device, or what it should be like",
        )


def _windows() -> str | None:
    on_it = platform.system() == "Windows"
    return "Windows can run on any GPU through DirectML, but onnxruntime has none" if on_it else None


DML = Provider(
    "dml",
    "DmlExecutionProvider",
    "onnxruntime-directml",
    aliases=("directml",),
    builds=("onnxruntime-directml", "onnxruntime-windowsml"),
    device="dml",
    options=(
        DEVICE_ID,
        Option("performance_preference", one_of("default", "high_performance", "minimum_power")),
        Option("device_filter", one_of("gpu", "npu", "any")),
    ),
    other_options=("disable_metacommands",),
    capture="enable_graph_capture",
    check_options=_check,
    rules=_RULES,
    sign=_windows,
    # No genai: there a generator takes one prompt and no more, so the Decoder's contract can't be kept.
)
