"""The programs of this folder: each gets the server's address, has a client make calls of a tool, and says what came of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ALWAYS = "openai_python.py"
"""Its client is among the packages for tests."""
PROGRAMS = (ALWAYS, "langchain_loop.py", "litellm_loop.py", "pydantic_ai_loop.py", "openai_javascript.mjs", "vercel_ai.mjs")


def run(name: str, url: str, clients: Path | None) -> dict[str, Any]:
    """``clients``: the folder that installing.py makes."""
    environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false", "PYTHONUTF8": "1"}
    if name.endswith(".mjs"):
        assert clients is not None
        place = clients / "javascript" / name  # packages are looked for beside the program
        shutil.copy(HERE / name, place)
        command = ["node", str(place), url]
    else:
        command = [sys.executable, str(HERE / name), url]
        if name != ALWAYS:
            environment["PYTHONPATH"] = str((clients or HERE) / "python")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
