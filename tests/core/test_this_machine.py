"""What the machine says of itself, and what this process has taken of it."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from youtu_onnx.core import machine
from youtu_onnx.core.machine import Machine


def test_the_machine_is_described() -> None:
    found = Machine.here()
    assert found.cpu and found.cores >= 1 and found.memory_bytes > 2**28
    assert found.onnxruntime == ort.__version__
    total, available = machine.memory()
    assert 0 < available <= total == found.memory_bytes


def test_a_process_grows_older_and_its_peak_is_above_what_it_has() -> None:
    before = machine.process_age()
    assert 0 < before <= machine.process_age() < 10**7
    assert 2**20 < machine.resident_bytes() <= machine.peak_bytes() * 1.01


def test_where_linux_files_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path, *args: object, **options: object) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    assert machine.process_age() >= 0 and machine.cpu_name() and machine.memory()[0] > 0
    assert machine.peak_bytes() > 0
