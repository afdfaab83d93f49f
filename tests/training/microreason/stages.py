"""The three stages of a tiny model, on problems so easy that it learns some of them in a minute."""

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.microreason import package, tasks  # noqa: E402
from training.microreason.config import PRESETS  # noqa: E402
from training.microreason.distil import Distillation  # noqa: E402
from training.microreason.evolve import Evolution, Round  # noqa: E402
from training.microreason.lessons import Lessons  # noqa: E402
from training.microreason.objectives import Target  # noqa: E402
from training.microreason.policy import Policy  # noqa: E402
from training.microreason.pupil import Pupil  # noqa: E402
from training.microreason.schedule import Schedule  # noqa: E402
from training.microreason.session import Plan, Session  # noqa: E402
from training.microreason.store import Store  # noqa: E402
from training.microreason.stream import Shape, Stream  # noqa: E402
from training.microreason.train import Base  # noqa: E402
from training.microreason.trainer import Rates, Trainer  # noqa: E402

TINY = PRESETS["tiny"]
CPU = torch.device("cpu")
EASY = dict.fromkeys(tasks.SHARES, 0) | {"arithmetic": 1}
SCHEDULE = Schedule(target=Target(pairs=0.6, rows=0.55), shortest=96)
ROUND = Round(problems=12, replies=6, most=48, rows=4, row_length=192)


class Tick:
    """A clock for which every step takes one second."""

    def now(self):
        return 0.0

    def since(self, start):
        return 1.0


def plan(steps: int, save_every: float = 1e9) -> Plan:
    return Plan(budget=steps, save_every=save_every, measure_every=1e9, log_every=1, threads=1)


def begin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tasks, "SHARES", EASY)
    patch.setattr(tasks, "level", lambda rng, progress: 1)
    torch.manual_seed(1)
    torch.set_num_threads(1)


def stage_1(words, folder: Path, steps: int, save_every: float = 1e9) -> Session:
    trainer = Trainer(TINY, 1, CPU, Rates(1e-2, 1e-2, warmup_steps=10), compiled=False)
    base = Base(trainer, Stream(words, Shape(128, 12, 512), seed=3), words, grow_at=0.2, measured=1)
    return Session(base, Store(folder), plan(steps, save_every), Tick())


def stage_2(words, base: Path, folder: Path, steps: int, save_every: float = 1e9) -> Session:
    model, teacher = (package.load(base)[0] for _ in range(2))
    rates = Rates(3e-3, 3e-3, gate=5e-2, warmup_steps=10)
    pupil = Pupil(TINY, model.state_dict(), teacher, CPU, rates, compiled=False, schedule=SCHEDULE)
    learner = Distillation(pupil, Lessons(words, Shape(192, 8, 512), seed=4), words, measured=2)
    return Session(learner, Store(folder), plan(steps, save_every), Tick())


def stage_3(words, base: Path, folder: Path, rounds: int, save_every: float = 1e9) -> Session:
    model, _ = package.load(base)
    schedule = replace(SCHEDULE, ramp=0.0, hard_from=0.0, rounded_from=0.0)
    rates = Rates(1e-3, 1e-3, gate=1e-3, warmup_steps=2)
    policy = Policy(model.config, model.state_dict(), CPU, rates, compiled=False, schedule=schedule)
    return Session(Evolution(policy, words, ROUND, seed=5, measured=1), Store(folder), plan(rounds, save_every), Tick())
