"""Progress and messages, on a terminal and off it."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest

from youtu_onnx.cli import console, progress
from youtu_onnx.core.progress import Progress


def work(progress: Progress) -> None:
    progress.begin("reading weights", total=2_000_000)
    progress.advance(1_500_000)
    progress.note("needs 1 GB")
    progress.advance(500_000)
    progress.begin("checking [tokens]", total=None, unit="tokens")
    progress.advance(3)
    progress.finish()


LINES = (
    r"needs 1 GB\n?.*reading weights … 2.0 MB done in \d+\.\d s, \d+\.\d\d GB resident.*"
    r"checking \[tokens\] … 3 tokens done in"
)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    work(progress.progress())
    captured = capsys.readouterr()
    assert captured.out == "" and re.search(LINES, captured.err, re.DOTALL)
    assert "\x1b" not in captured.err


def test_a_long_stage_says_how_far_it_is_where_there_is_no_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    shown = progress.progress()
    shown.begin("weights", total=4 * 10**9)
    shown.advance(10**9)
    assert re.search(r"weights … 1.00 GB of 4.00 GB, \d+\.\d\d GB resident", capsys.readouterr().err)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_that_leaves_the_same_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen := Screen())
    work(progress.progress())
    shown = screen.getvalue()
    assert re.search(LINES, shown, re.DOTALL) and "2.0/2.0" in shown


def test_a_broken_off_stage_gives_the_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen := Screen())
    progress.progress().begin("reading weights", total=100)
    console.error("disk full", "free some space")
    shown = screen.getvalue()
    assert shown.rindex("\x1b[?25h") < shown.index("error: disk full")
    assert shown.endswith("error: disk full\n  hint: free some space\n") and "done in" not in shown


def test_model_text_can_not_steer_the_terminal() -> None:
    assert console.printable("a\x1b[2Jb\tc\nd\x07é\x9b中") == "a\ufffd[2Jb\tc\nd\ufffdé\ufffd中"


def test_paths_are_quoted_for_the_shell() -> None:
    assert console.quoted("plain/path") == "plain/path"
    assert console.quoted("two words") in ("'two words'", '"two words"')


@pytest.mark.skipif(os.name == "nt", reason="programs have other names there")
def test_the_program_is_named_so_that_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "an environment" / "youtu-onnx"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert console.program() == f"'{script}'"
    monkeypatch.setenv("PATH", str(script.parent))
    assert console.program() == "youtu-onnx"
