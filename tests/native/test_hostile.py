"""What is wrong with a node or with what a run is given is an error with words, and never a crash.

Through ONNX Runtime, in a process of its own. ``test_sanitized.py`` looks at what such cases touch.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native.hostile_cases import Case, cases

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def messages(library: Path) -> dict[str, str | None]:
    """A case's error."""
    command = [sys.executable, "-m", "tests.native.hostile_cases", str(library)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} at {lines[-1:]}\n{done.stderr[-2000:]}"
    return {line[0]: line[1] for line in lines if len(line) == 2}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_it_is_refused_with_words(messages: dict[str, str | None], case: Case) -> None:
    message = messages[case.name]
    assert message is not None, "nothing was refused"
    assert re.search(case.words, message), message
