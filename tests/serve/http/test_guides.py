"""docs/clients.md does what it says: its code is run as it stands there, against a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.cli_process import ROOT
from tests.serve.http.clients.installing import VARIABLE
from tests.serve.http.serving import OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

TEXT = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", TEXT, re.MULTILINE))
ADDRESS = "http://127.0.0.1:8080"
NEEDS = {"curl": "curl", "OpenAI's client for Python": "openai", "Ollama's client for Python": "ollama"} | {
    "LangChain": "langchain_openai",
    "LiteLLM": "litellm",
    "llm": "llm",
}
"""What has to be installed for a section's code: a module, or a program."""
NOT_RUN = {"Open WebUI", "Continue"}
"""Of which the page says why they aren't."""


@pytest.fixture(scope="module")
def url(nano_bundle: Callable[..., Path], served_text: ModelText) -> Iterator[str]:
    engine = OneAtATime(nano_bundle())
    with listening(application(engine, text=served_text)) as url:
        yield url
    engine.close()


def code(section: str) -> tuple[str, str]:
    """The language of a section's code, and the code."""
    [(language, text)] = re.findall(r"^```(sh|python)\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return language, text


def test_every_section_is_run_or_says_why_not() -> None:
    assert SECTIONS.keys() == NEEDS.keys() | NOT_RUN
    for section in NOT_RUN:
        assert "isn't run by a test: " in SECTIONS[section].replace("\n", " ")


@pytest.mark.parametrize("section", NEEDS)
def test_it_answers(section: str, url: str, tmp_path: Path) -> None:
    language, text = code(section)
    environment = os.environ | {"LLM_USER_PATH": str(tmp_path), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONUTF8": "1"}
    if not_here(NEEDS[section], environment):
        pytest.skip(f"{NEEDS[section]} is not installed, or the folder that {VARIABLE} names lacks it")
    program = [sys.executable, "-c"] if language == "python" else ["bash", "-ec"]
    done = subprocess.run(
        [*program, text.replace(ADDRESS, url)], env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0 and re.search(r"\b85\b", done.stdout), done.stdout + done.stderr[-3000:]


def not_here(name: str, environment: dict[str, str]) -> bool:
    """Makes programs and modules of the folder of clients known, where there is one."""
    if name != "curl" and find_spec(name) is not None:
        return name == "llm" and shutil.which("llm", path=environment.get("PATH")) is None
    clients: Any = os.environ.get(VARIABLE)
    if clients and (folder := Path(clients) / "python").is_dir():
        environment["PYTHONPATH"] = str(folder)
        environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{environment['PATH']}"
        return not (folder / name).is_dir()
    return shutil.which(name) is None
