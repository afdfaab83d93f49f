"""What this machine has for exporting and running Youtu-LLM, and what is missing with the command that brings it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from youtu_onnx.core import machine
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import ProviderError
from youtu_onnx.inspect.packages import PURPOSES, Package, packages
from youtu_onnx.runtimes.providers.packages import distribution_version, installed_builds, reinstall
from youtu_onnx.runtimes.providers.probe import Probe, probe
from youtu_onnx.runtimes.providers.providers import PROVIDERS, called_by_onnxruntime

if TYPE_CHECKING:
    from youtu_onnx.runtimes.native import library
    from youtu_onnx.runtimes.providers import plugins
else:
    library = Deferred("youtu_onnx.runtimes.native.library", "asking for kernels")
    plugins = Deferred("youtu_onnx.runtimes.providers.plugins", "asking for providers")

CPU_FLAGS = {
    "avx2": "fast float and int8 products",
    "avx512f": "faster ones",
    "avx512_vnni": "int8 dot products: int4 at full speed",
    "avx_vnni": "the same with AVX",
    "asimddp": "NEON int8 dot products: int4 at full speed",
    "i8mm": "int8 matrix products",
}
"""Features that decide how fast int4 runs on a CPU, by the names that Linux gives them."""

ABILITIES = {"serve": "serve them over HTTP", "export": "export checkpoints"}
"""Extra of this package → what it adds."""

CPU = "CPUExecutionProvider"
NOT_OURS = ("AzureExecutionProvider", "TensorrtExecutionProvider")
"""Providers that this project has no target for: a web service, and one that comes with CUDA's package."""


@dataclass(frozen=True)
class Missing:
    """What can't be done here, and the command that changes it."""

    what: str
    command: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything found. Memory and disk in bytes; ``cpu_flags`` None: this system doesn't tell. ``kernels``: whose compute on the
    CPU."""

    python: str
    system: str
    cpu: str
    cores: int
    cpu_flags: tuple[str, ...] | None
    packages: tuple[Package, ...]
    providers: tuple[Probe, ...]
    memory_total: int
    memory_available: int
    disk_free: int
    missing: tuple[Missing, ...]
    kernels: str = ""

    @property
    def can_run(self) -> bool:
        """Whether a bundle can be opened at all: the CPU provider works, and the packages for running are there."""
        cpu = any(one.provider == CPU and one.works for one in self.providers)
        return cpu and all(package.good for package in self.packages if package.extra == "")

    def rows(self) -> list[tuple[str, str]]:
        """For people: a name and a text each; an empty name continues the row above."""
        flags = ", ".join(self.cpu_flags or ()) or f"none of {', '.join(CPU_FLAGS)}"
        if self.cpu_flags is None:
            flags = "this system doesn't tell its features"
        rows = [
            ("python", self.python),
            ("system", self.system),
            ("processor", f"{self.cpu}, {self.cores} cores: {flags}"),
            ("memory", f"{self.memory_available / 1e9:.1f} GB available of {self.memory_total / 1e9:.1f} GB"),
            ("disk", f"{self.disk_free / 1e9:.1f} GB free here"),
        ]
        rows += [("kernels", self.kernels)] if self.kernels else []
        for number, one in enumerate(self.providers):
            state = "ok" if one.works else "FAILED" if one.provider == CPU else "no"  # a GPU that isn't there is no fault
            rows.append(("" if number else "providers", f"{state:<6}  {one.provider}: {one.detail}"))
        for extra, purpose in PURPOSES.items():
            listed = ", ".join(str(package) for package in self.packages if package.extra == extra)
            rows.append(("packages", f"for {purpose}: {listed}"))
        for missing in self.missing:
            rows += [("missing", missing.what), ("", f"→ {missing.command}")]
        return rows

    @property
    def verdict(self) -> str:
        """What this machine can do, in one line."""
        if not self.can_run:
            return "this machine can run no bundle yet: what is missing is said above"
        others = (called_by_onnxruntime(one.provider).name for one in self.providers if one.works and one.provider != CPU)
        where = ["the CPU", *others]
        can = [f"run bundles on {' and '.join(where)}"]
        can += [verb for extra, verb in ABILITIES.items() if all(one.good for one in self.packages if one.extra == extra)]
        return f"this machine can {', '.join(can[:-1])}{' and ' if can[:-1] else ''}{can[-1]}"

    def to_dict(self) -> dict[str, Any]:
        packages = [asdict(package) | {"good": package.good} for package in self.packages]
        return asdict(self) | {"can_run": self.can_run, "verdict": self.verdict, "packages": packages}


def diagnose(
    folder: Path | None = None,
    *,
    version: Callable[[str], str | None] = distribution_version,
    listed: Callable[[], list[str]] | None = None,
    tried: Callable[[str], Probe] = probe,
) -> Diagnosis:
    """Look around.

    Starts one Python process for each provider that ONNX Runtime says to have.

    Args:
        folder: on the disk whose free space matters; None: the current one.
        version, listed, tried: how installed distributions, the runtime's providers, and whether one works are found out.
    """
    found = packages(version)
    providers = tuple(tried(name) for name in (listed or _listed_providers)())
    total, available = machine.memory()
    return Diagnosis(
        python=f"{platform.python_version()} ({sys.executable})",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=machine.cpu_name(),
        cores=machine.cores(),
        cpu_flags=_cpu_flags(),
        packages=found,
        providers=providers,
        memory_total=total,
        memory_available=available,
        disk_free=shutil.disk_usage(folder or Path.cwd()).free,
        missing=(
            *_missing_packages(found),
            *_two_builds(version),
            *_failing(providers),
            *_unused_devices({one.provider for one in providers}),
        ),
        kernels=_kernels(),
    )


def _kernels() -> str:
    """Whose kernels compute on the CPU, in one line."""
    try:
        found = library.load()
    except ProviderError as error:
        return f"onnxruntime's; {error.message} ({error.hint})"
    if library.found() is None:
        return f"onnxruntime's; the native ones have no instruction set of this processor beyond {found.instructions}"
    others = ", ".join(name for name, runs in found.known if runs and name != found.instructions)
    return f"native, with {found.instructions}; this processor has {others}, too"


def _listed_providers() -> list[str]:
    try:
        # A plugin that finds no device isn't listed, and the probe says so.
        listed = dict.fromkeys((*plugins.available(), *plugins.installed_plugins()))
        return [name for name in listed if name not in NOT_OURS]
    except Exception:  # noqa: BLE001 - a broken installation fails in its own ways; the probe then says how
        return [CPU]


def _missing_packages(found: tuple[Package, ...]) -> Iterator[Missing]:
    for extra, purpose in PURPOSES.items():
        lacking = [package for package in found if package.extra == extra and not package.good]
        if lacking:
            named = ", ".join(f"{p.name} {p.version} (needs {p.minimum})" if p.version else p.name for p in lacking)
            pip_name = f'"youtu-onnx[{extra}]"' if extra else "youtu-onnx"
            apart = ", in an environment of its own" if extra and any(p.overwritten for p in lacking) else ""
            yield Missing(f"{purpose}{apart}: {named}", f"pip install -U {pip_name}")


def _two_builds(version: Callable[[str], str | None]) -> Iterator[Missing]:
    installed = installed_builds(version)
    if len(installed) > 1:
        yield Missing(
            f"only one of these may be installed, they overwrite each other: {', '.join(installed)}", reinstall(installed)
        )


def _failing(providers: tuple[Probe, ...]) -> Iterator[Missing]:
    for one in providers:
        if not one.works:
            again = called_by_onnxruntime(one.provider).repair_command
            yield Missing(f"{one.provider}: {one.detail}", one.advice or again)


def _unused_devices(listed: set[str]) -> Iterator[Missing]:
    """What this machine could run on with another build of ONNX Runtime."""
    for one in PROVIDERS:
        if one.ort not in listed and one.install_command and (sign := one.sign()):
            yield Missing(sign, one.install_command)


def _cpu_flags() -> tuple[str, ...] | None:
    """Those of :data:`CPU_FLAGS` that this CPU has. Only Linux and macOS tell all of them."""
    listed = machine.cpuinfo("flags", "Features")
    if listed:
        return tuple(flag for flag in CPU_FLAGS if flag in listed.split())
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return ("asimddp",)  # every Apple processor with macOS
    return None
