"""The bundles that a server answers with: loaded when a request names them, unloaded when idle or for others.

Requests hold the bundle that they are answered with, and it isn't unloaded before they end. One bundle is loaded at a time, in a
thread, while others answer. Whoever is to make room for it takes no new requests until it has gone: so a busy bundle can't keep
another one out for ever, and those who want it meanwhile come after.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from youtu_onnx.serve.engine.engine import Busy, EngineStats
from youtu_onnx.serve.http import problems
from youtu_onnx.serve.http.metrics import Metrics
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.served_bundle import ServedBundle
from youtu_onnx.serve.http.service import Gate, Service
from youtu_onnx.serve.http.settings import Settings

HELD = "youtu_onnx.held"
"""Where in a request's scope lies what it holds."""
LOAD_SECONDS = 5.0
"""After which those come again who found too many waiting for a bundle."""
NOTHING = EngineStats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
COUNTED = ("prompt_tokens", "reused_tokens", "completion_tokens", "steps")
"""Of an engine's stats, what must not fall when a bundle is unloaded."""


class Bundles:
    """Attributes:
    all: the first is the one that requests get which name none.
    gate: whether requests are taken.
    """

    def __init__(
        self,
        all_: Sequence[ServedBundle],
        settings: Settings,
        *,
        metrics: Metrics | None = None,
        memory: int | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """
        Args:
            all_: at least one; their names differ.
            metrics: None: new ones, of all bundles together.
            memory: bytes that all loaded ones may take together; None: any number.
            idle_seconds: after so long without a request a bundle is unloaded; None: never for that.
        """
        self.all, self.settings, self.gate = tuple(all_), settings, Gate()
        self.metrics = metrics or Metrics(self)
        self._memory, self._idle_seconds = memory, idle_seconds
        self._order = asyncio.Lock()  # whose waiters come first who asked first
        self._gone: EngineStats | None = None  # of those that were unloaded
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> list[str]:
        """All that requests may call for."""
        return [name for one in self.all for name in one.names]

    def find(self, name: str | None) -> ServedBundle:
        """
        Raises:
            Problem: 404, there is no such model.
        """
        for one in self.all:
            if name is None or name in one.names:
                return one
        there = ", ".join(map(repr, self.names))
        raise Problem(404, f"no model {name!r} here; this server has {there}", param="model", code="model_not_found")

    def find_ollama(self, name: str) -> tuple[ServedBundle, str]:
        """As Ollama's clients write it, ``NAME:latest`` for the bundle itself; the bundle, and its name here.

        Raises:
            Problem: as :meth:`find`.
        """
        plain = name if name in self.names else name.removesuffix(":latest")
        return self.find(plain), plain

    async def service(self, name: str | None, scope: Scope) -> Service:
        """What answers requests for a model. The request of this scope holds it until it ends.

        Raises:
            Problem: as :meth:`find`; or the server is about to stop.
            Busy: too many wait for it to be loaded.
            YoutuOnnxError: it can't be loaded.
        """
        one = self.find(name)
        service = await self._held(one)
        holds: ExitStack = scope[HELD]
        holds.callback(self._release, one)
        return service

    def load(self, one: ServedBundle) -> None:
        """Before requests are taken: not on the event loop.

        Raises:
            YoutuOnnxError: as it is opened.
        """
        one.service = self._opened(one)

    def stats(self) -> EngineStats:
        """Of all that are loaded together; what is counted, of all that ever were. From any thread."""
        found = [one.service.engine.stats() for one in self.all if one.service is not None]
        found += [self._gone] if self._gone is not None else []
        if not found:
            return replace(NOTHING, drain_seconds=0.0 if self.gate.draining else None)
        drains = [one.drain_seconds for one in found if one.drain_seconds is not None]
        sums = {one.name: sum(getattr(stats, one.name) for stats in found) for one in fields(EngineStats)[:-1]}
        return replace(EngineStats(**sums), drain_seconds=max(drains) if drains else None)

    def close(self, drain_seconds: float) -> None:
        """Take no more requests, let replies end for so long, and free all. Not on the event loop."""
        self.gate.draining = True
        engines = [one.service.engine for one in self.all if one.service is not None]
        threads = [threading.Thread(target=engine.close, args=(drain_seconds,)) for engine in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _opened(self, one: ServedBundle) -> Service:
        opened = one.open()
        return Service(opened.engine, one.text, self.settings, self.metrics, opened.explainer, self.gate)

    async def _held(self, one: ServedBundle) -> Service:
        if self.gate.draining:
            raise problems.draining()
        if one.service is not None and not one.leaving:
            one.hold()
            return one.service
        if len(one.waiters) >= self.settings.load_queue:
            raise Busy(f"{len(one.waiters)} requests wait for {one.text.id} to be loaded", retry_after=LOAD_SECONDS)
        waiter: asyncio.Future[Service] = asyncio.get_running_loop().create_future()
        one.waiters.append(waiter)
        if one.loading is None:
            one.loading = self._begun(self._load(one))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in one.waiters:
                one.waiters.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self._release(one)
            raise

    async def _load(self, one: ServedBundle) -> None:
        """Give it to all that wait for it."""
        try:
            async with self._order:
                await self._make_room(one)
                if self.gate.draining:
                    raise problems.draining()
                one.service = await asyncio.to_thread(self._opened, one)
                if self.gate.draining:
                    await asyncio.to_thread(one.service.engine.close, 0.0)
                    raise problems.draining()
        except Exception as error:  # noqa: BLE001 - whoever waits for it hears of it
            waiters, one.waiters = one.waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        else:
            waiters, one.waiters = one.waiters, []
            one.used = time.monotonic()
            for waiter in waiters:
                if not waiter.done():
                    one.hold()
                    waiter.set_result(one.service)
            self._watch(one)
        finally:
            one.loading = None

    async def _make_room(self, wanted: ServedBundle) -> None:
        """Unload others, those unused longest first, until it fits."""
        if self._memory is None:
            return
        loaded = sorted((one for one in self.all if one.service is not None and one is not wanted), key=lambda one: one.used)
        used = sum(one.cost for one in loaded)
        # those that nobody holds go before those that somebody does
        for one in sorted(loaded, key=lambda one: one.held > 0):
            if used + wanted.cost <= self._memory:
                return
            await self._unload(one)
            used -= one.cost

    async def _unload(self, one: ServedBundle) -> None:
        """As soon as nobody holds it; new requests for it wait until it was loaded again."""
        one.leaving = True
        try:
            while one.held:
                await one.freed.wait()
            service, one.service = one.service, None
            if service is not None:
                self._count(service.engine.stats())
                await asyncio.to_thread(service.engine.close, 0.0)
        finally:
            one.leaving = False

    def _count(self, stats: EngineStats) -> None:
        before = self._gone
        sums = {name: getattr(stats, name) + (0 if before is None else getattr(before, name)) for name in COUNTED}
        self._gone = replace(NOTHING, **sums)

    def _release(self, one: ServedBundle) -> None:
        one.release()
        self._watch(one)

    def _watch(self, one: ServedBundle) -> None:
        """Unload it when it was idle for long enough."""
        if self._idle_seconds is not None and not one.held:
            asyncio.get_running_loop().call_later(self._idle_seconds, self._look, one, one.used)

    def _look(self, one: ServedBundle, used: float) -> None:
        if one.service is not None and not one.held and one.used == used and not self.gate.draining:
            self._begun(self._unload_idle(one, used))

    async def _unload_idle(self, one: ServedBundle, used: float) -> None:
        async with self._order:
            if one.service is not None and not one.held and one.used == used:
                await self._unload(one)

    def _begun(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # which nobody else holds
        task.add_done_callback(self._tasks.discard)
        return task


def bundles_of(app: FastAPI) -> Bundles:
    """Those that an application answers with."""
    bundles: Bundles = app.state.bundles
    return bundles


class Holds:
    """ASGI middleware: what a request holds, it holds until it ends, however it ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as stack:
            scope[HELD] = stack
            await self._app(scope, receive, send)
