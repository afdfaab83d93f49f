"""What ``quickstart.py`` does about the native kernels: it takes them where they build, and goes on where they don't."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import quickstart


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that were run; none is."""
    ran: list[list[str]] = []
    monkeypatch.setattr(quickstart, "NATIVE_STAMP", tmp_path / "native")
    return ran


def answer(monkeypatch: pytest.MonkeyPatch, ran: list[list[str]], code: int, said: str) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, code, stdout=said)

    monkeypatch.setattr(quickstart.subprocess, "run", run)


def test_taken_once(pip, monkeypatch, capsys):
    answer(monkeypatch, pip, 0, "")
    quickstart.take_native()
    quickstart.take_native()
    (command,) = pip
    assert "install" in command and command[-1] == str(quickstart.HERE / "native")
    assert capsys.readouterr().err == "Native kernels are built and installed (docs/native.md).\n"


def test_a_failure_is_one_line_and_not_the_end(pip, monkeypatch, capsys):
    answer(
        monkeypatch,
        pip,
        1,
        "  Building wheel\n  no C compiler for x86_64-linux found; install gcc\n  error: subprocess-exited-with-error\n",
    )
    quickstart.take_native()
    assert capsys.readouterr().err == (
        "Native kernels can't be built here, so ONNX Runtime's own compute: no C compiler for x86_64-linux found; install gcc\n"
    )


def test_again_when_sources_changed(pip, monkeypatch, tmp_path):
    answer(monkeypatch, pip, 0, "")
    monkeypatch.setattr(quickstart, "NATIVE", tmp_path / "sources")
    (tmp_path / "sources" / "src").mkdir(parents=True)
    for content in ("int one;", "int one;", "int two;"):
        (tmp_path / "sources" / "src" / "linear.c").write_text(content)
        quickstart.take_native()
    assert len(pip) == 2
