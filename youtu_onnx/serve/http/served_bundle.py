"""One of the bundles that a server answers with: there or not, and who holds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from youtu_onnx.explain.explainer import Explainer
from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.text.model_text import ModelText


@dataclass(frozen=True)
class Opened:
    """What a bundle is answered with. ``explainer``: None where its replies are not explained."""

    engine: Engine
    explainer: Explainer | None = None


@dataclass(eq=False)
class ServedBundle:
    """All but ``open`` is used on the event loop alone.

    Attributes:
        text: of the bundle, whether it is loaded or not.
        open: loads it; takes its time, so in a thread.
        cost: bytes of memory that it takes when it is loaded, caches included; an estimate.
        expected_context: the most tokens of a sequence, as far as is known before it is loaded.
        steps: replies are explained.
        service: None where it isn't loaded.
        held: by so many requests; while it is, it isn't unloaded.
        leaving: it is to be unloaded as soon as nobody holds it, and new requests wait until it was loaded again.
        used: when it was held last, in seconds of the monotonic clock.
        waiters: requests that wait until it is loaded.
        loading: whether somebody is about to.
    """

    text: ModelText
    open: Callable[[], Opened]
    cost: int = 0
    expected_context: int = 0
    steps: bool = False
    service: Service | None = None
    held: int = 0
    leaving: bool = False
    used: float = 0.0
    waiters: list[asyncio.Future[Service]] = field(default_factory=list)
    loading: asyncio.Task[None] | None = None
    freed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def names(self) -> list[str]:
        """What requests call it, and it with each of its adapters."""
        if self.service is not None:
            return self.service.models.names
        return [self.text.id, *(f"{self.text.id}:{one}" for one in self.text.facts.adapters)]

    @property
    def context_length(self) -> int:
        """The most tokens of a sequence."""
        return self.expected_context if self.service is None else self.service.engine.context_length

    def hold(self) -> None:
        self.held += 1
        self.freed.clear()

    def release(self) -> None:
        self.held -= 1
        self.used = time.monotonic()
        if not self.held:
            self.freed.set()
