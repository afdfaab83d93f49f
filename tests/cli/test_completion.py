"""Completion in a real shell, as ``--install-completion`` sets it up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_process import ROOT, run
from youtu_onnx.cli.app import COMMANDS

pytestmark = pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module")
def offered(nano_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """``offered("youtu-onnx chat b")`` → what the Tab key would offer for the last word, in a folder with a few others."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "bundle-one").symlink_to(nano_bundle())
    (folder / "bundles").mkdir()
    (folder / "bundles" / "deep").symlink_to(nano_bundle())
    (folder / "better.txt").write_text("")
    program = folder / "youtu-onnx"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m youtu_onnx.cli "$@"\n')
    program.chmod(0o755)
    cache = folder / "cache" / "youtu-onnx" / "bundles"
    cache.mkdir(parents=True)
    (cache / "kept").symlink_to(nano_bundle())
    (cache / "kept.json").write_text(
        '{"format": 1, "name": "acme/Kept", "origin": {}, "options": {}, "commit": null, "made": "", "seconds": 1}'
    )
    script = run(_YOUTU_ONNX_COMPLETE="source_bash").stdout.decode()

    def offered(line: str) -> list[str]:
        words = line.split(" ")
        listed = " ".join(f"'{word}'" for word in words)
        asked = f'COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _youtu_onnx_completion "{program}"'
        ask = f'{script}\n{asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        done = subprocess.run(["bash", "-c", ask], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.split()

    return offered


def test_commands_and_options(offered: Callable[[str], list[str]]) -> None:
    assert offered("youtu-onnx ") == list(COMMANDS)
    assert offered("youtu-onnx ex") == ["export", "explain"]
    assert offered("youtu-onnx generate --sch") == ["--schema"]


def test_bundles_are_offered_where_one_is_wanted(offered: Callable[[str], list[str]]) -> None:
    assert offered("youtu-onnx chat b") == ["bundle-one"]
    assert offered("youtu-onnx serve bundles/") == ["bundles/deep"]
    assert offered("youtu-onnx bench x") == []  # so that the shell offers files by itself


def test_models_are_offered_by_name(offered: Callable[[str], list[str]]) -> None:
    assert offered("youtu-onnx run ") == ["acme/Kept", "youtu-nano", "microreason", "bundle-one"]
    assert offered("youtu-onnx run you") == ["youtu-nano"]
    assert offered("youtu-onnx chat a") == ["acme/Kept"]
    assert offered("youtu-onnx rm ") == ["acme/Kept"]


def test_no_command_is_loaded_to_offer_their_names() -> None:
    light = (
        "import sys\nfrom youtu_onnx.cli import main\ncode = main()\n"
        "assert 'numpy' not in sys.modules and 'youtu_onnx.cli.chat' not in sys.modules\nsys.exit(code)"
    )
    asking = {"_YOUTU_ONNX_COMPLETE": "complete_bash", "COMP_WORDS": "youtu-onnx ", "COMP_CWORD": "1"}
    done = run(program=("-c", light), **asking)
    assert done.returncode == 0 and done.stdout.decode().split() == list(COMMANDS), done.stderr.decode()
