"""Execution providers: what a user may call them, which package brings them, and no silent way around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from youtu_onnx.core.errors import BundleError, ProviderError, UsageError
from youtu_onnx.runtimes.providers.advice import advise, distribution_version, installed_runtimes
from youtu_onnx.runtimes.providers.probe import Probe


@dataclass(frozen=True)
class Provider:
    """One execution provider.

    Attributes:
        name: what this project calls it, as in ``--provider cuda``.
        ort: ONNX Runtime's name.
        package: the distribution that brings it; None where no wheel does.
        aliases: other spellings that are understood.
        beside: whether the package is a plugin, installed beside any build of ONNX Runtime.
    """

    name: str
    ort: str
    package: str | None
    aliases: tuple[str, ...] = ()
    beside: bool = False

    @property
    def install_command(self) -> str | None:
        """What to type. All builds of ONNX Runtime share one folder, so the CPU's must go before another comes."""
        if self.beside or self.package in (None, "onnxruntime"):
            return self.package and f"pip install {self.package}"
        return f"pip uninstall -y onnxruntime && pip install {self.package}"


PROVIDERS = (
    Provider("cpu", "CPUExecutionProvider", "onnxruntime"),
    Provider("cuda", "CUDAExecutionProvider", "'onnxruntime-gpu[cuda,cudnn]'", ("gpu", "nvidia")),
    Provider("dml", "DmlExecutionProvider", "onnxruntime-directml", ("directml",)),
    Provider("webgpu", "WebGpuExecutionProvider", "onnxruntime-ep-webgpu", beside=True),
    Provider("coreml", "CoreMLExecutionProvider", "onnxruntime"),
    Provider("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
    Provider("qnn", "QNNExecutionProvider", "onnxruntime-qnn"),
    Provider("migraphx", "MIGraphXExecutionProvider", None, ("rocm",)),
)


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


def chosen(name: str | None, made_for: str) -> Provider:
    """The provider that a bundle is to be opened on, installed or not: the one asked for, else the bundle's.

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


def resolve(name: str | None, made_for: str, available: Sequence[str], failure: str | None = None) -> Provider:
    """:func:`chosen`, once it is known to be installed.

    Args:
        made_for: the provider that the manifest says the graph was written for.
        available: ONNX Runtime's names of the providers that it has.
        failure: why the provider isn't among them though its package is installed, where that is known.

    Raises:
        UsageError, BundleError: as :func:`chosen`.
        ProviderError: the provider isn't in this ONNX Runtime.
    """
    row = chosen(name, made_for)
    if row.ort in available:
        return row
    wanted = f"provider {row.name}" if name is not None else f"provider {row.name}, which this bundle is made for,"
    known = advise(row.ort, failure) if failure else None
    if failure:
        raise ProviderError(
            f"{wanted} could not start: {known.cause if known else failure}",
            hint=known.cure if known else "youtu-onnx doctor, or choose --provider cpu",
        )
    has = ", ".join(short(one) for one in available)
    installed = installed_runtimes(distribution_version)
    if len(installed) > 1 and row.package and not row.beside:
        both = " and ".join(installed)
        raise ProviderError(
            f"{wanted} is not in the installed onnxruntime: {both} overwrote each other's files",
            hint=f"pip uninstall -y {' '.join(installed)} && pip install {row.package}",
        )
    ways = [row.install_command or f"install an onnxruntime that is built with {row.ort}"]
    if row.name != "cpu" and "CPUExecutionProvider" in available:
        ways.append("choose the processor with --provider cpu")
    raise ProviderError(f"{wanted} is not in the installed onnxruntime (it has: {has})", hint=", or ".join(ways))


def check_started(session: Any, row: Provider, why: Callable[[], Probe]) -> None:
    """Make sure that a session's first provider is the one it was asked for: ONNX Runtime goes on with the CPU when a
    provider fails to start, and gives no reason but in its log.

    Args:
        why: tries the provider again, apart, for the reason.

    Raises:
        ProviderError: it is another one.
    """
    active = session.get_providers()
    if active and active[0] == row.ort:
        return
    found = why()
    cause = f"onnxruntime offers {', '.join(map(short, active))} instead" if found.works else found.detail
    raise ProviderError(
        f"provider {row.name} could not start: {cause}",
        hint=found.advice
        or f"check the device's driver and libraries (youtu-onnx doctor), install again "
        f"({row.install_command}), or choose --provider cpu",
    )


def short(ort: str) -> str:
    """What this project calls a provider, or would if it knew it: ``azure``."""
    return next((row.name for row in PROVIDERS if row.ort == ort), ort.removesuffix("ExecutionProvider").lower())
