"""Several bundles in one server: when they are loaded, when they go, and that nobody loses what it holds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from youtu_onnx.core.errors import ResourceError
from youtu_onnx.serve.engine.engine import Busy, EngineStats
from youtu_onnx.serve.http.bundles import HELD, Bundles
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.served_bundle import Opened, ServedBundle
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText


@dataclass
class FakeEngine:
    """Attributes:
    tokens: counted by its stats.
    """

    name: str
    closed: threading.Event = field(default_factory=threading.Event)
    tokens: int = 0
    adapters: None = None
    context_length: int = 64

    def stats(self) -> EngineStats:
        return EngineStats(0, 0, 1, 4, self.tokens, 0, self.tokens, self.tokens, 0, 10)

    def close(self, drain_seconds: float = 0.0) -> None:
        self.closed.set()


class Fakes:
    """Bundles of cost 1 each, with what was opened."""

    def __init__(self, text: ModelText, *names: str, memory: int | None = None, **options: Any) -> None:
        self.engines: list[FakeEngine] = []
        self.gates = {name: threading.Event() for name in names}
        self.fails: set[str] = set()
        for gate in self.gates.values():
            gate.set()
        served = [ServedBundle(replace(text, id=name), self._opener(name), cost=1) for name in names]
        settings = options.pop("settings", Settings())
        self.bundles = Bundles(served, settings, memory=memory, **options)

    def _opener(self, name: str) -> Callable[[], Opened]:
        def opened() -> Opened:
            assert self.gates[name].wait(30)
            if name in self.fails:
                raise ResourceError(f"no memory for {name}")
            self.engines.append(FakeEngine(name))
            return Opened(self.engines[-1])  # type: ignore[arg-type]

        return opened

    @property
    def opened(self) -> list[str]:
        return [engine.name for engine in self.engines]

    @property
    def loaded(self) -> list[str]:
        return [engine.name for engine in self.engines if not engine.closed.is_set()]


class Asking:
    """A request that holds a bundle until it is ended."""

    def __init__(self, bundles: Bundles, name: str | None) -> None:
        self._stack = ExitStack()
        self.task = asyncio.create_task(bundles.service(name, {HELD: self._stack}))

    async def held(self) -> str:
        service = await self.task
        return service.text.id

    def end(self) -> None:
        self._stack.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 30)

    asyncio.run(bounded())


async def until(what: Callable[[], bool]) -> None:
    while not what():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


def test_a_bundle_is_loaded_when_it_is_named_and_once(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b")
        asking = [Asking(fakes.bundles, name) for name in ("b", "b", None, "a")]
        assert [await one.held() for one in asking] == ["b", "b", "a", "a"]
        assert sorted(fakes.opened) == ["a", "b"]

    run(test)


def test_others_are_answered_while_one_is_loaded(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b")
        assert await Asking(fakes.bundles, "a").held() == "a"
        fakes.gates["b"].clear()
        slow = Asking(fakes.bundles, "b")
        for _ in range(20):
            assert await Asking(fakes.bundles, "a").held() == "a"
        assert not slow.task.done()
        fakes.gates["b"].set()
        assert await slow.held() == "b"

    run(test)


def test_the_one_unused_longest_makes_room(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b", "c", memory=2)
        for name in ("a", "b", "a", "c"):
            asking = Asking(fakes.bundles, name)
            await asking.held()
            asking.end()
        assert sorted(fakes.loaded) == ["a", "c"]
        fakes.engines[0].tokens = 7
        assert fakes.bundles.stats().places == 2

    run(test)


def test_a_bundle_stays_while_a_request_holds_it(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b", memory=1)
        first = Asking(fakes.bundles, "a")
        await first.held()
        other = Asking(fakes.bundles, "b")
        await asyncio.sleep(0.05)
        assert not other.task.done() and fakes.loaded == ["a"]
        first.end()
        assert await other.held() == "b" and fakes.loaded == ["b"]

    run(test)


def test_a_busy_bundle_keeps_nobody_out_for_ever(served_text: ModelText) -> None:
    """Whoever asks for it after another has asked for its memory comes after that one."""

    async def test() -> None:
        fakes = Fakes(served_text, "a", "b", memory=1)
        first = Asking(fakes.bundles, "a")
        await first.held()
        other = Asking(fakes.bundles, "b")
        await asyncio.sleep(0.01)
        again = [Asking(fakes.bundles, "a") for _ in range(3)]
        await asyncio.sleep(0.01)
        assert not any(one.task.done() for one in again)
        first.end()
        assert await other.held() == "b"
        assert not any(one.task.done() for one in again)
        other.end()
        assert [await one.held() for one in again] == ["a"] * 3
        assert fakes.opened == ["a", "b", "a"]

    run(test)


def test_what_is_counted_does_not_fall(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b", memory=1)
        for name in ("a", "b", "a"):
            asking = Asking(fakes.bundles, name)
            await asking.held()
            fakes.engines[-1].tokens = 5
            asking.end()
        assert fakes.bundles.stats().completion_tokens == 15

    run(test)


def test_an_idle_bundle_goes(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", idle_seconds=0.05)
        asking = Asking(fakes.bundles, "a")
        await asking.held()
        await asyncio.sleep(0.15)
        assert fakes.loaded == ["a"], "it is held"
        asking.end()
        await until(lambda: not fakes.loaded)
        assert await Asking(fakes.bundles, "a").held() == "a"

    run(test)


def test_a_bundle_that_fails_is_told_to_all_that_wait_and_tried_again(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b")
        fakes.fails.add("b")
        asking = [Asking(fakes.bundles, "b") for _ in range(3)]
        for one in asking:
            with pytest.raises(ResourceError, match="no memory for b"):
                await one.held()
        fakes.fails.clear()
        assert await Asking(fakes.bundles, "b").held() == "b"

    run(test)


def test_who_leaves_while_it_is_loaded_holds_nothing(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b", memory=1)
        fakes.gates["a"].clear()
        leaving = Asking(fakes.bundles, "a")
        await asyncio.sleep(0.01)
        leaving.task.cancel()
        fakes.gates["a"].set()
        await until(lambda: fakes.loaded == ["a"])
        assert await Asking(fakes.bundles, "b").held() == "b"

    run(test)


def test_few_may_wait(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", settings=Settings(load_queue=2))
        fakes.gates["a"].clear()
        waiting = [Asking(fakes.bundles, "a") for _ in range(3)]
        with pytest.raises(Busy):
            await waiting[2].held()
        fakes.gates["a"].set()
        assert [await one.held() for one in waiting[:2]] == ["a", "a"]

    run(test)


def test_names_that_nobody_has(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b")
        with pytest.raises(Problem, match="no model 'c' here; this server has 'a', 'b'"):
            await Asking(fakes.bundles, "c").held()
        assert fakes.bundles.find_ollama("b:latest")[1] == "b"

    run(test)


def test_a_server_that_stops_loads_nothing_more(served_text: ModelText) -> None:
    async def test() -> None:
        fakes = Fakes(served_text, "a", "b")
        await Asking(fakes.bundles, "a").held()
        fakes.gates["b"].clear()
        waiting = Asking(fakes.bundles, "b")
        await asyncio.sleep(0.01)
        await asyncio.to_thread(fakes.bundles.close, 0.0)
        fakes.gates["b"].set()
        with pytest.raises(Problem, match="about to stop"):
            await waiting.held()
        assert fakes.loaded == []

    run(test)
