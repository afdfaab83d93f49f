"""A training that is paused, stopped and gone on with at any moment: the loop that all three stages run in."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from .clock import Clock, threads_for
from .store import Store


@dataclass(frozen=True)
class Plan:
    """What a session does. Times in seconds of training."""

    budget: float
    save_every: float
    measure_every: float
    log_every: int  # steps
    threads: int


class Learner(Protocol):
    """What a stage trains."""

    @property
    def step(self) -> int: ...

    @property
    def tokens(self) -> int:
        """How many it was taught, or wrote itself."""

    def learn(self, progress: float) -> Mapping[str, float]:
        """One step at that share of the budget; its losses and whatever else is to be logged, by name."""

    def remarks(self, progress: float) -> Mapping[str, object]:
        """What a line of the log says beside averages."""

    def measure(self, folder: Path) -> Mapping[str, object]:
        """Leaves a model below `folder` and says how good it is."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Session:
    """Trains until the budget is spent or somebody asks it to stop."""

    def __init__(self, learner: Learner, store: Store, plan: Plan, clock: Clock):
        self.learner, self.store, self.plan, self.clock = learner, store, plan, clock
        self.spent, self.stopping = 0.0, False
        self.saved = self.measured = 0.0
        saved = store.load()
        if saved is not None:
            learner.restore(saved)
            self.spent, self.measured = saved["spent"], saved["measured"]
            self.saved = self.spent

    @property
    def progress(self) -> float:
        return min(1.0, self.spent / self.plan.budget)

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self.stopping = True

    def save(self) -> None:
        self.saved = self.spent
        self.store.save(self.learner.state() | {"spent": self.spent, "measured": self.measured})

    def measure(self) -> None:
        """Its time isn't training, and its chances aren't training's."""
        self.measured, began, chances = self.spent, time.monotonic(), torch.get_rng_state()
        marks = self.learner.measure(self.store.folder)
        torch.set_rng_state(chances)
        self.store.write({**self.line("accuracy"), **marks, "seconds": round(time.monotonic() - began, 1)})

    def line(self, kind: str) -> dict[str, object]:
        hours = round(self.spent / 3600, 4)
        return {"kind": kind, "step": self.learner.step, "hours": hours, "tokens": self.learner.tokens}

    def log(self, found: list[Mapping[str, float]], tokens: int, seconds: float, passed: float) -> None:
        names = dict.fromkeys(name for one in found for name in one)
        values = {name: [one[name] for one in found if name in one] for name in names}
        speed = {
            "threads": torch.get_num_threads(),
            "tokens_per_second": round(tokens / seconds),  # of training time
            "tokens_per_second_passed": round(tokens / max(passed, 1e-6)),  # with all that the machine did besides
        }
        averages = {name: round(sum(some) / len(some), 4) for name, some in values.items()}
        self.store.write({**self.line("train"), **averages, **self.learner.remarks(self.progress), **speed})

    def run(self) -> None:
        plan, learner = self.plan, self.learner
        found, begun = list[Mapping[str, float]](), (self.spent, learner.tokens, time.monotonic())
        while self.spent < plan.budget and not self.stopping:
            if self.store.paused:
                self.save()
                print("paused", flush=True)
                self.store.wait()
                begun = (begun[0], begun[1], time.monotonic())
            start = self.clock.now()
            found.append(learner.learn(self.progress))
            self.spent += self.clock.since(start)
            if learner.step % plan.log_every == 0:
                self.log(found, learner.tokens - begun[1], self.spent - begun[0], time.monotonic() - begun[2])
                found, begun = [], (self.spent, learner.tokens, time.monotonic())
                torch.set_num_threads(threads_for(plan.threads, torch.get_num_threads()))
            if self.spent - self.measured >= plan.measure_every or self.spent >= plan.budget:
                self.measure()
            if self.spent - self.saved >= plan.save_every:
                self.save()
        self.save()

    def run_until_asked(self) -> None:
        """As `run`, but SIGTERM and Ctrl-C write the state first."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self.stop)
        self.run()
