"""Builds the library of native operators. One command, and no dependency but a C compiler::

    python native/building.py                       # into native/youtu_onnx_native, for this machine
    python native/building.py --target aarch64-linux  # for another one, by ziglang from PyPI

Compilers are looked for in this order: ``--compiler``, ``$CC``, ``cc``, ``gcc``, ``clang``, and the package ``ziglang``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMON = ("library", "tensor", "linear", "attention", "batch_attention", "select")
X86 = {
    "avx512vnni": "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx2 -mfma -mbmi2 -mprefer-vector-width=512",
    "avxvnni": "-mavx2 -mfma -mbmi2 -mavxvnni",
    "avx2": "-mavx2 -mfma -mbmi2",
}
ARM = {"i8mm": "-march=armv8.2-a+dotprod+i8mm", "dotprod": "-march=armv8.2-a+dotprod"}
SETS = {"x86_64": X86, "aarch64": ARM}
MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
SUFFIXES = {"linux": "lib{}.so", "macos": "lib{}.dylib", "windows": "{}.dll"}
NAME = "youtu_onnx_native"
ZIG = {"linux": "{}-linux-gnu.2.28", "macos": "{}-macos.11.0", "windows": "{}-windows-gnu"}
"""Zig's names of targets: the oldest systems that a library should run on."""


@dataclass(frozen=True)
class Target:
    """A processor and a system: ``x86_64-linux``."""

    machine: str
    system: str

    @classmethod
    def here(cls) -> Target:
        system = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}.get(platform.system(), platform.system().lower())
        return cls(MACHINES.get(platform.machine().lower(), platform.machine().lower()), system)

    @classmethod
    def parse(cls, text: str) -> Target:
        machine, _, system = text.partition("-")
        if machine not in SETS or system not in SUFFIXES:
            known = ", ".join(f"{one}-{two}" for one in SETS for two in SUFFIXES)
            raise SystemExit(f"unknown target {text!r}; known: {known}")
        return cls(machine, system)

    @property
    def library(self) -> str:
        return SUFFIXES.get(self.system, "lib{}.so").format(NAME)


def compiler(wanted: str | None, target: Target) -> list[str]:
    """The words that a command of a C compiler for the target begins with.

    Raises:
        SystemExit: there is none.
    """
    if wanted:
        return shlex.split(wanted)
    if target == Target.here():
        for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
            if name and shutil.which(shlex.split(name)[0]):
                return shlex.split(name)
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", ZIG[target.system].format(target.machine)]
    raise SystemExit("no C compiler found; install gcc or clang, or: pip install ziglang")


def build(folder: Path, target: Target, words: Sequence[str], extra: Sequence[str] = ()) -> Path:
    """Compile and link the library into a folder; its file.

    Raises:
        SystemExit: the compiler refused.
    """
    flags = ["-std=c11", "-O3", "-Wall", "-Wextra", "-Wno-psabi", "-ffp-contract=fast", "-fvisibility=hidden", *extra]
    flags += ["-fPIC"] if target.system != "windows" else []
    sets = SETS.get(target.machine, {}) | {"plain": ""}
    with tempfile.TemporaryDirectory() as name:
        objects = Path(name)

        def compile_one(source: str, more: str = "") -> Path:
            made = objects / f"{source}.o"
            _run([*words, *flags, *shlex.split(more), "-c", str(HERE / "src" / f"{source}.c"), "-o", str(made)])
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(compile_one, source) for source in COMMON]
            jobs += [pool.submit(compile_one, f"isa_{one}", more) for one, more in sets.items()]
            made = [str(job.result()) for job in jobs]
        folder.mkdir(parents=True, exist_ok=True)
        linked = objects / target.library
        libraries = [] if target.system == "windows" else ["-lm"]
        _run([*words, "-shared", *extra, *made, "-o", str(linked), *libraries])
        library = folder / target.library
        shutil.copyfile(linked, library.with_suffix(".partial"))
        os.replace(library.with_suffix(".partial"), library)
    return library


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stdout}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", help="as x86_64-linux, aarch64-macos, x86_64-windows; by default this machine")
    parser.add_argument("--compiler", help="a command, as gcc or 'aarch64-linux-gnu-gcc'")
    parser.add_argument("--output", type=Path, default=HERE / NAME, help="folder for the library")
    parser.add_argument("--sanitize", metavar="WHICH", help="as address,undefined or thread: for tests")
    options = parser.parse_args()
    target = Target.parse(options.target) if options.target else Target.here()
    extra = [f"-fsanitize={options.sanitize}", "-g", "-fno-omit-frame-pointer"] if options.sanitize else []
    print(build(options.output, target, compiler(options.compiler, target), extra))


if __name__ == "__main__":
    main()
