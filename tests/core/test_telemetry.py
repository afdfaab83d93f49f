"""What ONNX Runtime would leave on a machine, and send from it, is left and sent only where a user asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_process import ROOT
from youtu_onnx.core import telemetry

DESERTED = {"CI", "TF_BUILD", "GITHUB_ACTIONS", telemetry.VARIABLE, telemetry.OLDER}
"""Variables that keep ONNX Runtime from reporting, whoever sets them."""


def left_in(home: Path, bundle: Path, **variables: str) -> list[str]:
    """Files in a user's home after a reply, but for this project's own."""
    kept = {name: value for name, value in os.environ.items() if name not in DESERTED and not name.startswith("XDG_")}
    command = [sys.executable, "-m", "youtu_onnx.cli", "generate", str(bundle), "-p", "Hello", "--max-tokens", "1"]
    done = subprocess.run(command, cwd=ROOT, env={**kept, "HOME": str(home), **variables}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return sorted(one.name for one in home.rglob("*") if one.is_file() and "youtu-onnx" not in one.parts)


@pytest.mark.skipif(os.name == "nt", reason="Windows has a switch of its own, and no files")
def test_nothing_is_kept_for_it(nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("asked", "quiet")]
    for one in homes:
        one.mkdir()
    if not left_in(homes[0], nano_bundle(), ORT_DISABLE_TELEMETRY="0"):
        pytest.skip("this ONNX Runtime keeps nothing where it may report")
    assert left_in(homes[1], nano_bundle()) == []


def test_a_users_own_word_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    switched: list[str] = []

    class Library:
        @staticmethod
        def disable_telemetry_events() -> None:
            switched.append("off")

    monkeypatch.setenv(telemetry.VARIABLE, "0")
    monkeypatch.delenv(telemetry.OLDER, raising=False)
    telemetry.keep_quiet()
    telemetry.silence(Library)
    assert (os.environ[telemetry.VARIABLE], os.environ[telemetry.OLDER], switched) == ("0", "0", [])
    monkeypatch.delenv(telemetry.VARIABLE)
    monkeypatch.delenv(telemetry.OLDER)
    telemetry.keep_quiet()
    telemetry.silence(Library)
    assert (os.environ[telemetry.VARIABLE], os.environ[telemetry.OLDER], switched) == ("1", "1", ["off"])
