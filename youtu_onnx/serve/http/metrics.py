"""Prometheus metrics of one application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send

from youtu_onnx.serve.engine.engine import EngineStats
from youtu_onnx.serve.engine.request import Ended
from youtu_onnx.serve.http.observed import observed

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
RATES = (1, 2, 5, 10, 20, 30, 50, 75, 100, 200, 500, 1000)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HasStats(Protocol):
    """An engine, or several together."""

    def stats(self) -> EngineStats: ...


class Metrics:
    """What happened, for ``GET /metrics``."""

    def __init__(self, engine: HasStats) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(EngineCollector(engine))
        self.requests = prometheus_client.Counter(
            "youtu_onnx_requests", "Answered requests.", ("route", "status"), registry=self._registry
        )
        self._first_token = prometheus_client.Histogram(
            "youtu_onnx_time_to_first_token_seconds",
            "From a request's arrival to its first token.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self._queue = prometheus_client.Histogram(
            "youtu_onnx_queue_seconds", "Waiting for a place.", buckets=SECONDS, registry=self._registry
        )
        self._rate = prometheus_client.Histogram(
            "youtu_onnx_tokens_per_second", "Of each reply, after its first token.", buckets=RATES, registry=self._registry
        )

    def text(self) -> bytes:
        return prometheus_client.generate_latest(self._registry)

    def began(self, seconds: float) -> None:
        """A reply's first token came so long after its request."""
        self._first_token.observe(seconds)

    def ended(self, ended: Ended) -> None:
        self._queue.observe(ended.queue_seconds)
        if ended.completion_tokens > 1 and ended.decode_seconds > 0:
            self._rate.observe((ended.completion_tokens - 1) / ended.decode_seconds)


class EngineCollector(Collector):
    """The engine's own numbers, read when they are asked for."""

    def __init__(self, engine: HasStats) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        stats = self._engine.stats()
        for name, text, value in (
            ("queued", "Requests that wait for a place.", stats.queued),
            ("running", "Requests that have a place.", stats.running),
            ("places", "Requests that run at once.", stats.places),
            ("queue_limit", "Requests that may wait.", stats.queue_limit),
            ("cache_bytes", "Memory of all cached rows.", stats.cache_bytes),
            ("cache_limit_bytes", "Most memory that cached rows may take.", stats.cache_limit),
        ):
            yield GaugeMetricFamily(f"youtu_onnx_{name}", text, value=value)
        for name, text, value in (
            ("prompt_tokens", "Tokens of prompts.", stats.prompt_tokens),
            ("reused_tokens", "Tokens of prompts that a cache held already.", stats.reused_tokens),
            ("completion_tokens", "Tokens of replies.", stats.completion_tokens),
            ("steps", "Runs of the model.", stats.steps),
        ):
            yield CounterMetricFamily(f"youtu_onnx_{name}", text, value=value)


class CountRequests:
    """ASGI middleware that counts answers by route and status, and never by what a client made up."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def ended(status: int) -> None:
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.requests.labels(route, str(status)).inc()

        await observed(self._app, scope, receive, send, ended)
