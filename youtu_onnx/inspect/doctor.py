"""What this machine has for exporting and running Youtu-LLM, and what is missing with the command that brings it."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from youtu_onnx.core import machine
from youtu_onnx.runtimes.providers.packages import BUILDS, installed_builds, reinstall
from youtu_onnx.runtimes.providers.packages import distribution_version as importlib_version
from youtu_onnx.runtimes.providers.probe import Probe, probe

PACKAGES: Mapping[str, Mapping[str, str]] = {
    "": {
        "onnxruntime": "1.27",
        "numpy": "1.26",
        "tokenizers": "0.22.1",
        "jinja2": "3.1",
        "typer": "0.18",
        "rich": "13",
        "psutil": "5.9",
        "filelock": "3.13",
    },
    "export": {
        "torch": "2.10",
        "transformers": "5.1",
        "onnx": "1.19",
        "onnx-ir": "0.1.15",
        "onnxscript": "0.5.4",
        "safetensors": "0.5",
        "huggingface_hub": "1.3",
    },
    "genai": {"onnxruntime-genai": "0.10"},
    "serve": {"fastapi": "0.115", "uvicorn": "0.50"},
}
"""Extra of this package → what it brings, with the lowest version. The same as in pyproject.toml, which a test compares."""

PURPOSES = {"": "running", "export": "exporting and verifying", "genai": "--runtime genai", "serve": "the HTTP server"}

CPU_FLAGS = {
    "avx2": "fast float and int8 products",
    "avx512f": "faster ones",
    "avx512_vnni": "int8 dot products: int4 at full speed",
    "avx_vnni": "the same with AVX",
    "asimddp": "NEON int8 dot products: int4 at full speed",
    "i8mm": "int8 matrix products",
}
"""Features that decide how fast int4 runs on a CPU, by the names that Linux gives them."""


NOT_OURS = ("TensorrtExecutionProvider",)
"""Providers that come with another one's package and that this project has no target for."""


@dataclass(frozen=True)
class Package:
    """A distribution: its version (None: not installed), whether that is new enough, and which extra brings it."""

    name: str
    version: str | None
    minimum: str
    extra: str

    @property
    def good(self) -> bool:
        return self.version is not None and _numbers(self.version) >= _numbers(self.minimum)


@dataclass(frozen=True)
class Missing:
    """What can't be done here, and the command that changes it."""

    what: str
    command: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything found. Memory and disk in bytes; ``cpu_flags`` None: this system doesn't tell."""

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

    @property
    def can_run(self) -> bool:
        """Whether a bundle can be opened at all: the CPU provider works, and the packages for running are there."""
        cpu = any(one.provider == "CPUExecutionProvider" and one.works for one in self.providers)
        return cpu and all(package.good for package in self.packages if package.extra == "")

    def to_dict(self) -> dict[str, Any]:
        packages = [asdict(package) | {"good": package.good} for package in self.packages]
        return asdict(self) | {"can_run": self.can_run, "packages": packages}


def diagnose(folder: Path | None = None) -> Diagnosis:
    """Look around; ``folder`` (default: the current one) names the disk whose free space matters.

    Starts one Python process for each provider that ONNX Runtime says to have.
    """
    packages = tuple(
        Package(name, _version(name), minimum, extra) for extra, listed in PACKAGES.items() for name, minimum in listed.items()
    )
    providers = tuple(probe(name) for name in _listed_providers())
    total, available = machine.memory()
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Diagnosis(
        python=f"{platform.python_version()} ({sys.executable})",
        system=system,
        cpu=machine.cpu_name(),
        cores=machine.cores(),
        cpu_flags=_cpu_flags(),
        packages=packages,
        providers=providers,
        memory_total=total,
        memory_available=available,
        disk_free=shutil.disk_usage(folder or Path.cwd()).free,
        missing=_missing(packages, providers),
    )


def _listed_providers() -> list[str]:
    try:
        from youtu_onnx.runtimes.providers.plugins import available, installed_plugins
    except Exception:  # a broken installation fails in its own ways; the probe then says how
        return ["CPUExecutionProvider"]
    # A plugin that finds no device isn't listed, and the probe says so. Azure calls a web service.
    return [
        name for name in dict.fromkeys((*available(), *installed_plugins())) if name not in ("AzureExecutionProvider", *NOT_OURS)
    ]


def _missing(packages: tuple[Package, ...], providers: tuple[Probe, ...]) -> tuple[Missing, ...]:
    found = []
    for extra, purpose in PURPOSES.items():
        lacking = [package for package in packages if package.extra == extra and not package.good]
        if lacking:
            named = ", ".join(f"{p.name} {p.version} (needs {p.minimum})" if p.version else p.name for p in lacking)
            found.append(Missing(f"{purpose}: {named}", f"pip install -U {_pip_name(extra)}"))
    installed = installed_builds(importlib_version)
    if len(installed) > 1:
        found.append(
            Missing(
                f"only one of these may be installed, they overwrite each other: {', '.join(installed)}", reinstall(installed)
            )
        )
    for one in providers:
        if not one.works:
            found.append(Missing(f"{one.provider}: {one.detail}", one.advice or _repair(one.provider)))
    listed = {one.provider for one in providers}
    if "CUDAExecutionProvider" not in listed and shutil.which("nvidia-smi"):
        found.append(
            Missing(
                "this machine has an NVIDIA driver, but onnxruntime has no CUDA",
                "pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'",
            )
        )
    if "DmlExecutionProvider" not in listed and platform.system() == "Windows":
        found.append(
            Missing(
                "Windows can run on any GPU through DirectML, but onnxruntime has none",
                "pip uninstall -y onnxruntime && pip install onnxruntime-directml",
            )
        )
    return tuple(found)


def _repair(provider: str) -> str:
    own = {"CUDAExecutionProvider": "onnxruntime-gpu", "DmlExecutionProvider": "onnxruntime-directml"}
    return f"pip install --force-reinstall --no-deps {own.get(provider, 'onnxruntime')}"


def _pip_name(extra: str) -> str:
    return f'"youtu-onnx[{extra}]"' if extra else "youtu-onnx"


def _version(name: str) -> str | None:
    """Of a distribution; any of :data:`BUILDS` counts as onnxruntime."""
    names = BUILDS if name == "onnxruntime" else (name,)
    return next((version for version in map(importlib_version, names) if version), None)


def _numbers(version: str) -> tuple[int, ...]:
    """``"2.13.0+cpu"`` → (2, 13, 0)."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _cpu_flags() -> tuple[str, ...] | None:
    """Those of :data:`CPU_FLAGS` that this CPU has. Only Linux and macOS tell all of them."""
    listed = machine.cpuinfo("flags", "Features")
    if listed:
        return tuple(flag for flag in CPU_FLAGS if flag in listed.split())
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return ("asimddp",)  # every Apple processor with macOS
    return None
