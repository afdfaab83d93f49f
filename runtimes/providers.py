"""Execution providers: what a user may call them, which package brings them, and no silent way around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from youtu_onnx.errors import BundleError, ProviderError, UsageError
from youtu_onnx.target import TARGETS


@dataclass(frozen=True)
class Provider:
    """One execution provider.

    Attributes:
        name: what this project calls it, as in ``--provider cuda``.
        ort: ONNX Runtime's name.
        package: the distribution that brings it; None where no wheel does.
        aliases: other spellings that are understood.
    """

    name: str
    ort: str
    package: str | None
    aliases: tuple[str, ...] = ()

    @property
    def install_command(self) -> str | None:
        """What to type. All builds of ONNX Runtime share one folder, so the CPU's must go before another comes."""
        if self.package in (None, "onnxruntime"):
            return self.package and f"pip install {self.package}"
        return f"pip uninstall -y onnxruntime && pip install {self.package}"


PROVIDERS = (
    Provider("cpu", "CPUExecutionProvider", "onnxruntime"),
    Provider("cuda", "CUDAExecutionProvider", "onnxruntime-gpu", ("gpu", "nvidia")),
    Provider("dml", "DmlExecutionProvider", "onnxruntime-directml", ("directml",)),
    Provider("webgpu", "WebGpuExecutionProvider", "onnxruntime-webgpu"),
    Provider("coreml", "CoreMLExecutionProvider", "onnxruntime"),
    Provider("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
    Provider("qnn", "QNNExecutionProvider", "onnxruntime-qnn"),
    Provider("migraphx", "MIGraphXExecutionProvider", None, ("rocm",)),
)

HEAVY_OPS = frozenset(("MatMul", "MatMulNBits", "MatMulInteger", "Gemm", "Attention", "GroupQueryAttention",
                       "MultiHeadAttention"))
"""Where the time goes. One of these on the CPU means that a provider did not take the graph."""


def provider(name: str) -> Provider:
    """The provider that a user names, in any case: ``cuda``, ``DirectML``, ``CPUExecutionProvider``.

    Raises:
        UsageError: no such provider.
    """
    wanted = name.strip().lower()
    for row in PROVIDERS:
        if wanted in (row.name, row.ort.lower(), *row.aliases):
            return row
    raise UsageError(f"unknown provider {name!r}", hint=f"choose one of: {', '.join(row.name for row in PROVIDERS)}")


def resolve(name: str | None, target: str, available: Sequence[str]) -> Provider:
    """The provider to open a bundle on: the one asked for, else the one that the bundle's target names.

    Args:
        target: the manifest's target.
        available: ``onnxruntime.get_available_providers()``.

    Raises:
        UsageError: an unknown name.
        ProviderError: the provider isn't in this ONNX Runtime.
        BundleError: the bundle names a target that this version doesn't know.
    """
    if name is not None:
        row = provider(name)
    elif target in TARGETS:
        row = provider(TARGETS[target].provider)
    else:
        raise BundleError(f"the bundle is made for target {target!r}, which this youtu-onnx does not know",
                          hint="upgrade youtu-onnx, or name a provider with --provider")
    if row.ort in available:
        return row
    wanted = f"provider {row.name}" if name is not None else f"provider {row.name}, which this bundle is made for,"
    has = ", ".join(_short(one) for one in available)
    ways = [row.install_command or f"install an onnxruntime that is built with {row.ort}"]
    if row.name != "cpu" and "CPUExecutionProvider" in available:
        ways.append("choose the processor with --provider cpu")
    raise ProviderError(f"{wanted} is not in the installed onnxruntime (it has: {has})", hint=", or ".join(ways))


def check_session(session: Any, row: Provider) -> None:
    """Make sure that a session runs where it was asked to.

    ONNX Runtime goes on with the CPU when a provider fails to start, and gives the CPU every node that a provider does
    not take. ``session.disable_cpu_ep_fallback`` would refuse both, but refuses too much: CUDA and WebGPU leave small
    shape computations to the CPU on purpose. So the first provider must be the requested one, and no heavy node may
    sit elsewhere. The session must have been made with ``session.record_ep_graph_assignment_info``.

    Raises:
        ProviderError: it runs elsewhere, wholly or in part.
    """
    active = session.get_providers()
    if not active or active[0] != row.ort:
        raise ProviderError(
            f"provider {row.name} is installed but could not start; onnxruntime offers {', '.join(map(_short, active))} instead",
            hint=f"check the device's driver and libraries (youtu-onnx doctor), install again ({row.install_command}), "
                 "or choose --provider cpu")
    if row.name == "cpu" or not hasattr(session, "get_provider_graph_assignment_info"):
        return
    strays = [node for part in session.get_provider_graph_assignment_info() if part.ep_name != row.ort
              for node in part.get_nodes() if node.op_type in HEAVY_OPS]
    if strays:
        listed = ", ".join(f"{node.op_type} {node.name!r}" for node in strays[:3])
        raise ProviderError(f"provider {row.name} leaves {len(strays)} heavy operations to the CPU, among them {listed}",
                            hint=f"export a bundle for it (youtu-onnx export --target {row.name}), or choose --provider cpu")


def _short(ort: str) -> str:
    """What this project calls a provider, or would if it knew it: ``azure``."""
    return next((row.name for row in PROVIDERS if row.ort == ort), ort.removesuffix("ExecutionProvider").lower())
