"""``youtu-onnx serve`` with short times, a model that can be held, and a token that it fails at:
``python -m tests.serve.http.hostile_program BUNDLE …``.

SIGUSR1 holds the model before its next step, SIGUSR2 lets it go on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from youtu_onnx.cli import main
from youtu_onnx.core.errors import ProviderError
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.serve.http import settings

FATAL = 77
"""A step with this token fails, as one that a provider has no memory for."""
PAUSE = 0.003


@dataclass(frozen=True)
class ShortTimes(settings.Settings):
    """As the server's, for tests that wait until a time is over."""

    idle_seconds: float = 2.0
    stall_seconds: float = 2.0
    body_seconds: float = 2.0


def hold_and_fail() -> None:
    own, going = BatchModel.step, threading.Event()
    going.set()
    signal.signal(signal.SIGUSR1, lambda *_: going.clear())
    signal.signal(signal.SIGUSR2, lambda *_: going.set())

    def step(self: BatchModel, tokens: Mapping[int, Any], chunk: Chunk | None = None, **options: Any) -> Any:
        going.wait()
        time.sleep(PAUSE)
        if any(id_ == FATAL for _, id_ in tokens.values()) or (chunk and FATAL in chunk.ids):
            raise ProviderError("a provider's failure", hint="none")
        return own(self, tokens, chunk, **options)

    BatchModel.step = step  # type: ignore[method-assign]


if __name__ == "__main__":
    hold_and_fail()
    settings.Settings = ShortTimes  # type: ignore[misc]
    sys.exit(main(["serve", *sys.argv[1:]]))
