"""The library as it is built: for whom, what it exports, what it links."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.native.libraries import HERE, NATIVE, building, compiler, keeping

EXPORTS = {"RegisterCustomOps", "youtu_onnx_interface", "youtu_onnx_instructions", "youtu_onnx_known_instructions"}
TARGETS = [f"{machine}-{system}" for machine in building.SETS for system in building.SUFFIXES]
MACHINES = {  # where each format says which processor it is for
    "linux": (b"\x7fELF", 18, {"x86_64": b"\x3e\x00", "aarch64": b"\xb7\x00"}),
    "macos": (b"\xcf\xfa\xed\xfe", 4, {"x86_64": b"\x07\x00\x00\x01", "aarch64": b"\x0c\x00\x00\x01"}),
    "windows": (b"MZ", None, {"x86_64": b"\x64\x86", "aarch64": b"\x64\xaa"}),
}
needs_linux = pytest.mark.skipif(
    platform.system() != "Linux" or not (shutil.which("nm") and shutil.which("readelf")), reason="needs Linux, nm and readelf"
)
needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang isn't installed")


def output(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def machine(library: bytes, system: str) -> str:
    """What the file's header says, by the formats' own specifications."""
    magic, at, names = MACHINES[system]
    assert library.startswith(magic)
    if at is None:  # behind PE's signature, of which the DOS header knows the place
        at = int.from_bytes(library[0x3C:0x40], "little") + 4
        assert library[at - 4 : at] == b"PE\0\0"
    return next(name for name, mark in names.items() if library[at : at + len(mark)] == mark)


def needed(library: Path) -> set[str]:
    """The libraries that one of Linux links."""
    return {line.split("[")[1].rstrip("]") for line in output("readelf", "-d", library).splitlines() if "(NEEDED)" in line}


@needs_linux
def test_it_exports_four_functions_and_links_the_c_library(library: Path) -> None:
    lines = [line.split() for line in output("nm", "-D", "--defined-only", library).splitlines()]
    assert {name for _, kind, name in lines if kind == "T"} == EXPORTS
    assert needed(library) <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def test_another_compiler_has_no_warnings_either(libraries: Path, tmp_path: Path) -> None:
    """That of the other tests is told that warnings are errors."""
    if shutil.which("clang") is None or compiler() == ["clang"]:
        pytest.skip("clang isn't installed, or is what the other tests take")
    building.build(tmp_path, HERE, keeping(["clang"], libraries), ["-Werror"])


def test_a_compiler_that_refuses_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no-such-option"):
        building.build(tmp_path, HERE, compiler(), ["--no-such-option"])
    assert not list(tmp_path.iterdir())


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-s", "-E", NATIVE / "building.py", "--output", tmp_path],
        env={"PATH": "", "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "install gcc or clang, or: pip install ziglang" in done.stderr


def test_an_unknown_target_is_told_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"unknown target 'riscv64-linux'; known: x86_64-linux, .*aarch64-windows"):
        building.Target.parse("riscv64-linux")
    assert [f"{one.machine}-{one.system}" for one in map(building.Target.parse, TARGETS)] == TARGETS


@needs_zig
@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_built_by_zig(name: str, tmp_path: Path) -> None:
    target = building.Target.parse(name)
    library = building.build(tmp_path, target, building.zig(target), ["-Werror"])
    content = library.read_bytes()
    assert machine(content, target.system) == target.machine
    assert all(name.encode() in content for name in EXPORTS)
    if target.system == "linux" and shutil.which("readelf"):
        versions = {word for word in output("readelf", "-V", library).split() if word.startswith("GLIBC_")}
        assert max(tuple(map(int, one.removeprefix("GLIBC_").split("."))) for one in versions) <= (2, 28)
        assert needed(library) <= {"libc.so.6", "libm.so.6"}


def test_a_wheel_has_this_machines_library_alone(libraries: Path, tmp_path: Path) -> None:
    """Made without the network: setuptools is asked as pip asks it."""
    pytest.importorskip("setuptools.command.bdist_wheel")
    words = keeping(compiler(), libraries)
    source = tmp_path / "native"
    shutil.copytree(NATIVE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "*.so", "*.dylib", "*.dll"))
    (source / building.NAME / "youtu_onnx_native.dll").write_bytes(b"what another build left")
    ask = "import sys; sys.path.insert(0, '.'); from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", ask, tmp_path],
        cwd=source,
        env=os.environ | {"CC": shlex.join(words)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith("youtu_onnx_native-") and "-py3-none-" in wheel.name and not wheel.name.endswith("-any.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(f"{building.NAME}/{one}" for one in ("__init__.py", "py.typed", HERE.library))
