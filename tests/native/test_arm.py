"""Kernels against plain arithmetic (``native/compare``): here on this machine's instruction sets, and on arm64's under qemu."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.native.libraries import HERE, NATIVE, building, built, compiler, known

PROGRAM = NATIVE / "compare" / "compare.c"
ARM = building.Target("aarch64", "linux")
QEMU = "qemu-aarch64-static"
GCC = "aarch64-linux-gnu-gcc"
PROCESSORS = {"max": ["i8mm", "dotprod", "plain"], "neoverse-n1": ["dotprod", "plain"], "cortex-a57": ["plain"]}
"""What qemu can be, and which instruction sets are to be found on it."""


def compared(command: Sequence[str | Path]) -> list[str]:
    """The instruction sets that the program compared; it has to find nothing wrong."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    lines = done.stdout.splitlines()
    assert lines[-1].endswith(" 0 failed") and int(lines[-1].split()[0]) > 100_000
    return [line.removesuffix(": compared") for line in lines if line.endswith(": compared")]


@pytest.fixture(scope="module")
def for_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program for arm64, which needs no library of that machine."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"needs {QEMU} (Debian: qemu-user-static)")
    if shutil.which(GCC) is None:
        pytest.skip(f"needs {GCC} (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)")
    made: Path = building.build(tmp_path_factory.mktemp("arm"), ARM, [GCC], ["-static"], PROGRAM)
    return made


def test_on_this_machine(library: Path, tmp_path: Path) -> None:
    assert compared([building.build(tmp_path, HERE, compiler(), program=PROGRAM)]) == known(library)


def test_no_byte_outside_a_buffer(library: Path, tmp_path: Path) -> None:
    extra = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-O1"]
    try:
        made = building.build(tmp_path, HERE, compiler(), extra, PROGRAM)
    except SystemExit:
        pytest.skip("this compiler, or this system, has no sanitizers")
    assert compared([made]) == known(library)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_on_arm64(processor: str, for_arm: Path) -> None:
    assert compared([QEMU, "-cpu", processor, for_arm]) == PROCESSORS[processor]
