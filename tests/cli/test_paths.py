"""Commands that are given something else than they take say what it is, and the command that takes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.tiny_checkpoint import write_checkpoint
from youtu_onnx.cli import main

Refused = Callable[..., str]
COMMANDS: dict[str, tuple[str, ...]] = {
    "chat": (),
    "generate": ("-p", "hello"),
    "serve": ("--port", "0"),
    "bench": (),
    "inspect": (),
    "verify": (),
    "evaluate": (),
    "explain": ("-p", "hello"),
    "prepare": (),
    "mobile": ("-o", "phone"),
    "doctor": (),
}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Refused:
    """Run a command that must fail with code 1; what it said, in one error and one hint."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> str:
        code, said = main([str(one) for one in args]), capsys.readouterr()
        lines = said.err.splitlines()
        assert code == 1, said.err
        assert [line.split(":")[0].strip() for line in lines if line] == ["error", "hint"], said.err
        return said.err

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_a_hub_id_for_a_bundle(refused: Refused, command: str) -> None:
    assert "youtu-onnx export --model tencent/Youtu-LLM-2B" in refused(command, "tencent/Youtu-LLM-2B", *COMMANDS[command])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_checkpoint_for_a_bundle(refused: Refused, tmp_path: Path, command: str) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint")
    assert f"youtu-onnx export --model {folder}" in refused(command, folder, *COMMANDS[command])


def test_a_gguf_file_for_either(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    for said in (refused("export", "-m", "m.gguf", "-o", "out"), refused("chat", "m.gguf")):
        assert "a GGUF file" in said
    assert not (tmp_path / "out").exists()


def test_a_bundle_for_a_checkpoint(refused: Refused, nano_bundle: Callable[..., Path]) -> None:
    bundle = nano_bundle()
    for command in (["export", "-m", bundle, "-o", "out"], ["verify", bundle, "-m", bundle]):
        said = refused(*command)
        assert "is a bundle, which youtu-onnx export wrote" in said and f"youtu-onnx chat {bundle}" in said
    assert f"name the bundle's folder: {bundle}" in refused("generate", bundle / "model.onnx", "-p", "hello")
