"""Builds of ONNX Runtime: the distributions that bring the module ``onnxruntime``, and which of them are installed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence

from youtu_onnx.runtimes.providers.providers import PROVIDERS

BUILDS = tuple(dict.fromkeys(build for one in PROVIDERS for build in one.builds))
"""Two of them overwrite each other's files."""


def installed_builds(version: Callable[[str], str | None]) -> list[str]:
    """Those of :data:`BUILDS` that are installed, in its order. ``version``: of a distribution, None for one that isn't there."""
    return [name for name in BUILDS if version(name)]


def reinstall(installed: Sequence[str]) -> str:
    """The command that leaves one of several builds: the last named, which no other overwrote."""
    packages = {one.distribution: one.package for one in PROVIDERS if one.distribution in one.builds}
    return f"pip uninstall -y {' '.join(installed)} && pip install {packages.get(installed[-1], installed[-1])}"


def distribution_version(name: str) -> str | None:
    """Of an installed distribution, by pip's metadata; None where it isn't there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
