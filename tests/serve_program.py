"""``youtu-onnx serve`` with the tests' engine in place of the real one: ``python -m tests.serve_program BUNDLE …``."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

from tests.serving import OneAtATime
from youtu_onnx.cli import main

PAUSE = 0.03


def open_engine(bundle: Path, *, max_queue: int = 16, **others: Any) -> OneAtATime:
    engine = OneAtATime(bundle, queue_limit=max_queue)
    engine.pause = PAUSE
    return engine


if __name__ == "__main__":
    module: Any = types.ModuleType("youtu_onnx.serve.scheduler")
    module.open_engine = open_engine
    sys.modules["youtu_onnx.serve.scheduler"] = module
    sys.exit(main(["serve", *sys.argv[1:]]))
