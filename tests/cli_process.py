"""Running ``youtu-onnx`` as a process of its own, as users do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from youtu_onnx.cli import main

ROOT = Path(__file__).parent.parent


def run(
    *args: str | Path, stdin: bytes = b"", program: tuple[str, ...] = ("-m", "youtu_onnx.cli"), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *program, *map(str, args)],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        timeout=120,
        check=False,
    )


def failed(done: subprocess.CompletedProcess[bytes], code: int) -> str:
    """stderr of a command that failed as it should: with the code, with a message, without a traceback."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert "error:" in text.lower() and "Traceback" not in text
    return text


def run_here(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    """The command in this process, which takes a tenth of the time: exit code, stdout and stderr."""
    code = main([*map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err
