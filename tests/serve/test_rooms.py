"""What each of the server's rooms does without: the engine without text and HTTP, the readers of text without HTTP."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli_process import ROOT

TEXT = {"tokenizers", "jinja2", "llguidance", "markdown_it"}
HTTP = {"fastapi", "starlette", "uvicorn", "pydantic"}


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        ("youtu_onnx.serve.engine.opening", TEXT | HTTP),
        ("youtu_onnx.serve.text.model_text, youtu_onnx.serve.text.reply, youtu_onnx.text.constraint", HTTP),
    ],
    ids=["engine", "text"],
)
def test_a_room_loads_nothing_of_those_above(modules: str, without: set[str]) -> None:
    code = f"import sys, {modules}\nfound = {without!r} & sys.modules.keys()\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
