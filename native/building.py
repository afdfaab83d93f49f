"""Builds the library of native operators. One command, and no dependency but a C compiler::

    python native/building.py                         # into native/youtu_onnx_native, for this machine
    python native/building.py --target aarch64-linux  # for another one, by ziglang from PyPI

Compilers are looked for in this order: ``--compiler``, ``$CC``, ``cc``, ``gcc``, ``clang``, and the package ``ziglang``; for
another target than this machine ``--compiler``, then ``ziglang``.
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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
OPERATORS = ("library", "tensor", "linear", "attention", "batch_attention")
X86 = {
    "avx512vnni": "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx2 -mfma -mf16c -mbmi2 -mprefer-vector-width=512",
    "avxvnni": "-mavx2 -mfma -mf16c -mbmi2 -mavxvnni",
    "avx2": "-mavx2 -mfma -mf16c -mbmi2",
}
ARM = {"i8mm": "-march=armv8.2-a+dotprod+i8mm", "dotprod": "-march=armv8.2-a+dotprod"}
ARM_OF_ZIG = {"i8mm": "-mcpu=generic+dotprod+i8mm", "dotprod": "-mcpu=generic+dotprod"}
"""Zig has names of its own for the same instructions."""
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
    words = [*shlex.split(wanted)] if wanted else of_system(target)
    if words:
        return words
    if importlib.util.find_spec("ziglang"):
        return zig(target)
    raise SystemExit(f"no C compiler for {target.machine}-{target.system} found; install gcc or clang, or: pip install ziglang")


def of_system(target: Target) -> list[str]:
    """A compiler that is installed here and makes code for the target; nothing where there is none."""
    if target != Target.here():
        return []
    names = [shlex.split(os.environ.get("CC", "")), ["cc"], ["gcc"], ["clang"]]
    return next((words for words in names if words and shutil.which(words[0])), [])


def zig(target: Target) -> list[str]:
    """The compiler of the package ``ziglang``, for any target; what it links runs on older systems, too."""
    return [sys.executable, "-m", "ziglang", "cc", "-target", ZIG[target.system].format(target.machine)]


def build(folder: Path, target: Target, words: Sequence[str], extra: Sequence[str] = (), program: Path | None = None) -> Path:
    """Compile and link the library into a folder, or a program of a C file with a ``main`` and the kernels; what was made.

    Warnings go to standard error.

    Raises:
        SystemExit: the compiler refused.
    """
    flags = ["-std=c11", "-O3", "-g0", "-Wall", "-Wextra", "-Wno-psabi", "-ffp-contract=off", "-fvisibility=hidden", *extra]
    flags += ["-fPIC"] if target.system != "windows" else []
    source = HERE / "src"
    wanted = {source / f"{one}.c": "" for one in ("select", "halves", "isa_plain")}
    wanted |= {source / f"isa_{one}.c": more for one, more in sets(target, words).items()}
    wanted |= {program: f"-I{source}"} if program else {source / f"{one}.c": "" for one in OPERATORS}
    link = [*extra, "-s"] if target.system == "linux" and not extra else [*extra]
    link += [] if target.system == "windows" else ["-lm"]
    name = program.stem + (".exe" if target.system == "windows" else "") if program else target.library
    with tempfile.TemporaryDirectory() as objects:
        made = compile_all(wanted, [*words, *flags], Path(objects))
        linked = Path(objects) / name
        _run([*words, *([] if program else ["-shared"]), *map(str, made), "-o", str(linked), *link])
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{name}.partial"
        shutil.copy(linked, partial)
        os.replace(partial, folder / name)
    return folder / name


def sets(target: Target, words: Sequence[str]) -> Mapping[str, str]:
    """The instruction sets of a target's processors besides plain C, and what the compiler is told of each."""
    if target.machine == "aarch64" and any(Path(word).name in ("zig", "zig.exe", "ziglang") for word in words):
        return ARM_OF_ZIG
    return SETS.get(target.machine, {})


def compile_all(sources: Mapping[Path, str], command: Sequence[str], folder: Path) -> list[Path]:
    """Object files of sources, each with flags of its own."""

    def compile_one(source: Path, more: str) -> Path:
        made = folder / f"{source.stem}.o"
        _run([*command, *shlex.split(more), "-c", str(source), "-o", str(made)])
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources.keys(), sources.values()))


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stdout}")
    if done.stdout.strip():
        print(done.stdout, end="", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", help="as x86_64-linux, aarch64-macos, x86_64-windows; by default this machine")
    parser.add_argument("--compiler", help="a command, as gcc or 'aarch64-linux-gnu-gcc'")
    parser.add_argument("--output", type=Path, default=HERE / NAME, help="folder for the library")
    parser.add_argument("--sanitize", metavar="WHICH", help="as address,undefined or thread: for tests")
    parser.add_argument("--program", type=Path, metavar="FILE.c", help="a C file with a main: link it with the kernels instead")
    options = parser.parse_args()
    target = Target.parse(options.target) if options.target else Target.here()
    extra = [f"-fsanitize={options.sanitize}", "-g", "-fno-omit-frame-pointer"] if options.sanitize else []
    print(build(options.output, target, compiler(options.compiler, target), extra, options.program))


if __name__ == "__main__":
    main()
