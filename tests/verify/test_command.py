"""``youtu-onnx verify``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError

NanoBundle = Callable[..., Path]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "youtu_onnx.cli", "verify", *map(str, arguments)], capture_output=True, text=True, encoding="utf-8"
    )


def test_command_compares_with_the_checkpoint(nano_bundle: NanoBundle) -> None:
    ended = command(nano_bundle(), "--model", "youtu-nano", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["passed"]
    assert report["parity"]["greedy_agreement"] > 0.9
    assert "compare with PyTorch" in ended.stderr


def test_command_without_a_checkpoint(copied: Callable[..., Path]) -> None:
    ended = command(copied())
    assert ended.returncode == 0, ended.stderr
    assert "all SHA-256 agree" in ended.stdout
    assert "name the checkpoint with --model" in ended.stdout


def test_command_names_every_damaged_file_and_exits_3(copied: Callable[..., Path]) -> None:
    folder = copied()
    data = bytearray((folder / names.MODEL_DATA).read_bytes())
    data[-1] ^= 1
    (folder / names.MODEL_DATA).write_bytes(data)
    (folder / names.TOKENIZER).unlink()
    ended = command(folder, "--json")
    assert ended.returncode == 3
    [check] = json.loads(ended.stdout)["checks"]
    assert names.MODEL_DATA in check["detail"]
    assert f"{names.TOKENIZER}: missing" in check["detail"]


def test_command_on_what_is_no_bundle(tmp_path: Path) -> None:
    ended = command(tmp_path)
    assert ended.returncode == BundleError.exit_code
    assert "is not a bundle" in ended.stderr
    assert not ended.stdout


def test_command_needs_no_torch_without_a_checkpoint(nano_bundle: NanoBundle) -> None:
    script = f"""if True:
        import sys
        for name in ("torch", "transformers", "onnx", "onnx_ir", "safetensors"):
            sys.modules[name] = None
        from youtu_onnx.cli import main
        sys.exit(main(["verify", {str(nano_bundle())!r}]))
    """
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
