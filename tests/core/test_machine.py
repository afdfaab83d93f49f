"""What a container allows is what there is, whatever its host has."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from youtu_onnx.core import machine

GB = 10**9


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n")


def test_without_a_limit_the_host_counts(cgroups: Path) -> None:
    host = psutil.virtual_memory()
    assert machine.memory()[0] == host.total
    write(cgroups, memory_max="max", memory_current=GB, memory_stat="inactive_file 0")
    assert machine.memory()[0] == host.total


def test_a_limit_beyond_the_host_is_none(cgroups: Path) -> None:
    write(cgroups, memory_max=2**63, memory_current=GB, memory_stat="inactive_file 0")
    assert machine.memory()[0] == psutil.virtual_memory().total


def test_a_container_of_version_2(cgroups: Path) -> None:
    write(cgroups, memory_max=GB // 4, memory_current=GB // 8, memory_stat="anon 7\ninactive_file 25000000")
    assert machine.memory() == (GB // 4, GB // 4 - (GB // 8 - 25_000_000))


def test_a_container_of_version_1(cgroups: Path) -> None:
    folder = cgroups / "memory"
    write(folder, memory_limit_in_bytes=GB // 4, memory_usage_in_bytes=GB // 8, memory_stat="total_inactive_file 1000")
    assert machine.memory() == (GB // 4, GB // 4 - (GB // 8 - 1000))


def test_a_full_container_has_nothing_left(cgroups: Path) -> None:
    write(cgroups, memory_max=GB // 4, memory_current=GB, memory_stat="inactive_file 0")
    assert machine.memory() == (GB // 4, 0)


@pytest.mark.parametrize("content", ["", "a lot", "-"])
def test_files_that_say_nothing_are_no_limit(cgroups: Path, content: str) -> None:
    write(cgroups, memory_max=content, memory_current=content, memory_stat=content)
    assert machine.memory()[0] == psutil.virtual_memory().total


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_what_was_freed_goes_back_to_the_system():
    program = (
        "import numpy as np; from youtu_onnx.core.machine import give_back_memory, resident_bytes\n"
        "np.ones(2**24, np.uint8)  # mapped and freed: glibc keeps pieces below its size from now on\n"
        "many = [np.ones(2**20, np.uint8) for _ in range(400)]; many = many[-1:]\n"
        "before = resident_bytes(); give_back_memory(); print(before - resident_bytes())"
    )
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(made.stdout) > 200 * 2**20
