"""The provider that was asked for, or an error that says how to get it; no silent way around it."""

from __future__ import annotations

from collections.abc import Sequence

from youtu_onnx.core.errors import ProviderError
from youtu_onnx.runtimes.providers.advice import advise
from youtu_onnx.runtimes.providers.packages import distribution_version, installed_builds
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.providers import chosen, short


def resolve(name: str | None, made_for: str, available: Sequence[str], failure: str | None = None) -> Provider:
    """:func:`youtu_onnx.runtimes.providers.providers.chosen`, once it is known to be installed.

    Args:
        available: ONNX Runtime's names of the providers that it has.
        failure: why the provider isn't among them though its package is installed, where that is known.

    Raises:
        UsageError, BundleError: as ``chosen``.
        ProviderError: the provider isn't in this ONNX Runtime.
    """
    found = chosen(name, made_for)
    if found.ort in available:
        return found
    wanted = f"provider {found.name}" if name is not None else f"provider {found.name}, which this bundle is made for,"
    if failure:
        known = advise(found.ort, failure)
        raise ProviderError(
            f"{wanted} could not start: {known.cause if known else failure}",
            hint=known.cure if known else "youtu-onnx doctor, or choose --provider cpu",
        )
    installed = installed_builds(distribution_version)
    if len(installed) > 1 and found.package and not found.plugin:
        raise ProviderError(
            f"{wanted} is not in the installed onnxruntime: {' and '.join(installed)} overwrote each other's files",
            hint=f"pip uninstall -y {' '.join(installed)} && pip install {found.package}",
        )
    ways = [found.install_command or f"install an onnxruntime that is built with {found.ort}"]
    if found.name != "cpu" and "CPUExecutionProvider" in available:
        ways.append("choose the processor with --provider cpu")
    has = ", ".join(map(short, available))
    raise ProviderError(f"{wanted} is not in the installed onnxruntime (it has: {has})", hint=", or ".join(ways))
