"""A folder with the clients that tests/serve/http/test_clients.py runs beside OpenAI's own in Python, as they are today.

    python -m tests.serve.http.clients.installing FOLDER
    YOUTU_ONNX_CLIENTS=FOLDER python -m pytest tests/serve/http/test_clients.py tests/serve/http/test_guides.py

Needs pip, npm and their registries; downloads 90 MB.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VARIABLE = "YOUTU_ONNX_CLIENTS"
PYTHON = ("langchain-openai", "litellm", "pydantic-ai-slim[openai]", "llm")
JAVASCRIPT = ("openai", "zod", "ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible")


def main(folder: Path) -> None:
    python, javascript = folder / "python", folder / "javascript"
    javascript.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(python), *PYTHON], check=True)
    (javascript / "package.json").write_text('{"private": true, "type": "module"}\n', encoding="utf-8")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", *JAVASCRIPT]
    subprocess.run(command, cwd=javascript, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
