"""The packages that this one asks for, and which of them are installed."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from youtu_onnx.runtimes.providers.packages import BUILDS, distribution_version, installed_builds

PURPOSES = {"": "running", "export": "exporting and verifying", "genai": "--runtime genai", "serve": "the HTTP server"}
"""Extra of this package → what it is for; "" is what always comes with it."""

_LEAST = r"(?P<name>[\w.-]+)(?:\[[\w,-]*\])?>=(?P<minimum>[\d.]+)"
_REQUIREMENT = re.compile(_LEAST + r"""(?:\s*;\s*extra\s*==\s*["'](?P<extra>\w+)["'])?""")
_RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Package:
    """A distribution: its version (None: not installed), whether that is new enough, and which extra brings it.

    Of onnxruntime's builds it is the one that is installed.
    """

    name: str
    version: str | None
    minimum: str
    extra: str

    @property
    def good(self) -> bool:
        return self.version is not None and _numbers(self.version) >= _numbers(self.minimum)

    @property
    def overwritten(self) -> bool:
        """Whether it is a build of ONNX Runtime over which pip would put the files of another, asked for one as new as needed."""
        return self.name in BUILDS and self.name != _RUNTIME

    def __str__(self) -> str:
        """``torch 2.13.0``, with what is wrong with it."""
        return f"{self.name} {self.version or 'MISSING'}{'' if self.good or not self.version else ' (too old)'}"


def packages(version: Callable[[str], str | None] = distribution_version) -> tuple[Package, ...]:
    """Those of :data:`PURPOSES`, in the order of this package's own metadata.

    Args:
        version: of an installed distribution, None for one that isn't.
    """
    listed = _requires()
    build = next(iter(installed_builds(version)), _RUNTIME)
    return tuple(
        Package(build, version(build), (not extra and _least(build, listed)) or minimum, extra)
        if name == _RUNTIME
        else Package(name, version(name), minimum, extra)
        for name, minimum, extra in requirements(listed)
    )


def requirements(listed: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
    """Name, lowest version and extra of each requirement, ``torch>=2.9; extra == "export"``, for one of :data:`PURPOSES`."""
    found = (_REQUIREMENT.fullmatch(one.strip()) for one in listed)
    parts = [(one["name"], one["minimum"], one["extra"] or "") for one in found if one]
    return tuple(part for extra in PURPOSES for part in parts if part[2] == extra)


def _requires() -> list[str]:
    try:
        return importlib.metadata.requires("youtu-onnx") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder that was never installed
        return []


def _least(build: str, listed: Iterable[str]) -> str | None:
    """The lowest version of a build of ONNX Runtime that does: its own, for that of DirectML stayed behind the others."""
    found = (re.match(_LEAST, one) for one in listed)
    return next((one["minimum"] for one in found if one and one["name"] == build), None)


def _numbers(version: str) -> tuple[int, ...]:
    """``"2.13.0+cpu"`` → (2, 13, 0)."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()
