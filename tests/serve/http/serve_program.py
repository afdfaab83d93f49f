"""``youtu-onnx serve`` with a model that takes its time: ``python -m tests.serve.http.serve_program BUNDLE …``.

A reply of youtu-nano is over before a test could do anything meanwhile.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from youtu_onnx.cli import main
from youtu_onnx.runtimes.ort.batch_model import BatchModel

PAUSE = 0.03

if __name__ == "__main__":
    own = BatchModel.step

    def step(self: BatchModel, *arguments: Any, **options: Any) -> Any:
        time.sleep(PAUSE)
        return own(self, *arguments, **options)

    BatchModel.step = step  # type: ignore[method-assign]
    sys.exit(main(["serve", *sys.argv[1:]]))
