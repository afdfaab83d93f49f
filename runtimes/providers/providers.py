"""The execution providers that this project knows, and how one is found by a name."""

from __future__ import annotations

from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.core.target import TARGETS
from youtu_onnx.runtimes.providers.coreml import COREML
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.cuda import CUDA
from youtu_onnx.runtimes.providers.dml import DML
from youtu_onnx.runtimes.providers.migraphx import MIGRAPHX
from youtu_onnx.runtimes.providers.openvino import OPENVINO
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.qnn import QNN
from youtu_onnx.runtimes.providers.webgpu import WEBGPU

PROVIDERS = (CPU, CUDA, DML, WEBGPU, COREML, OPENVINO, QNN, MIGRAPHX)
"""In the order in which messages list them."""


def provider(name: str) -> Provider:
    """The provider that a user names, in any case: ``cuda``, ``DirectML``, ``CPUExecutionProvider``.

    Raises:
        UsageError: no such provider.
    """
    wanted = name.strip().lower()
    for one in PROVIDERS:
        if wanted in (one.name, one.ort.lower(), *one.aliases):
            return one
    raise UsageError(f"unknown provider {name!r}", hint=f"choose one of: {', '.join(one.name for one in PROVIDERS)}")


def chosen(name: str | None, made_for: str) -> Provider:
    """The provider that a bundle is to be opened on, installed or not: the one asked for, else the bundle's.

    Args:
        made_for: the provider that the manifest says the graph was written for.

    Raises:
        UsageError: an unknown name.
        BundleError: the bundle is made for a provider that this version doesn't know.
    """
    if name is not None:
        return provider(name)
    try:
        return provider(made_for)
    except UsageError:
        raise BundleError(
            f"the bundle is made for provider {made_for!r}, which this youtu-onnx does not know",
            hint="upgrade youtu-onnx, or name a provider with --provider",
        ) from None


def called_by_onnxruntime(ort: str) -> Provider:
    """The provider that ONNX Runtime calls so; one of which nothing is known, named ``azure``, where it isn't of ours."""
    for one in PROVIDERS:
        if one.ort == ort:
            return one
    return Provider(ort.removesuffix("ExecutionProvider").lower(), ort, None)


def short(ort: str) -> str:
    """What this project calls a provider, or would if it knew it."""
    return called_by_onnxruntime(ort).name


def variant_for(name: str | None) -> str | None:
    """The target to open of a folder of several bundles: that of the provider which a user names, where it has one.

    Raises:
        UsageError: no such provider.
    """
    found = None if name is None else provider(name).name
    return found if found in TARGETS else None
