"""Stage 2 of MicroReason: a dense teacher and exact solvers teach a model whose gates learn what may be forgotten.

    python -m training.microreason.distil --hours 8

It begins with what stage 1 left in the state folder (`base`), which is also its teacher, and lies in `stage2` there. Budget,
log, pause and going on are those of stage 1.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from . import options, package, survey
from .clock import Clock
from .lessons import Lessons
from .objectives import Target
from .practice import Practice
from .pupil import Pupil
from .routing import Soft
from .schedule import Schedule
from .session import Session
from .store import Store
from .stream import Shape
from .trainer import Rates

RATES = Rates(matrix=1e-3, other=1e-3, gate=3e-3, warmup_steps=100, decay_from=0.5)
STAGE = "stage2"


class Distillation:
    """A pupil, its lessons, and what it has practised."""

    def __init__(self, pupil: Pupil, lessons: Lessons, words: Tokenizer, measured: int):
        self.pupil, self.lessons, self.words = pupil, lessons, words
        self.practice, self.tokens = Practice(), 0
        length = lessons.shape.row_length
        self.asked = survey.lessons(survey.dialogues(words, measured, seed=1, most=length), length)

    @property
    def step(self) -> int:
        return self.pupil.step

    def learn(self, progress: float) -> dict[str, float]:
        lesson = self.lessons.next(self.practice.shares)
        self.tokens += lesson.paths.numel()
        return self.pupil.teach(lesson, progress, self.practice)

    def remarks(self, progress: float) -> dict[str, object]:
        schedule = self.pupil.schedule
        asked = schedule.asked(progress)
        return {
            "rate": round(self.pupil.rates.factor(progress, self.step), 4),
            "asked": [round(asked.pairs, 4), round(asked.rows, 4)],
            "hard": schedule.soft(progress).straight_through,
            "int4": progress >= schedule.rounded_from,
        }

    def measure(self, folder: Path) -> dict[str, object]:
        """Exact replies of the teacher, and of the pupil dense, soft and hard; what each layer saves. Leaves `model`."""
        pupil, shortest = self.pupil, self.pupil.schedule.shortest
        package.save(pupil.average, pupil.config, self.words, folder / "model")
        hard = survey.survey(pupil.routed(), self.asked, shortest)
        others = {
            "teacher": survey.survey(pupil.teacher, self.asked, shortest),
            "dense": survey.survey(pupil.routed(dense=True), self.asked, shortest),
            "soft": survey.survey(pupil.routed(), self.asked, shortest, Soft(pupil.schedule.temperature, noise=False)),
        }
        return {
            "exact": {name: round(one.exact["all"], 4) for name, one in (others | {"hard": hard}).items()},
            "hard": {name: round(share, 3) for name, share in hard.exact.items()},
            "practice": {name: round(share, 3) for name, share in self.practice.exact.items()},
            "pairs_saved": [round(share, 3) for share in hard.pairs_saved],
            "rows_saved": [round(share, 3) for share in hard.rows_saved],
        }

    def state(self) -> dict[str, Any]:
        return self.pupil.state() | {
            "tokens": self.tokens,
            "lessons": self.lessons.state,
            "practice": dict(self.practice.exact),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.pupil.restore(state)
        self.lessons.restore(state["lessons"])
        self.practice.exact = dict(state["practice"])
        self.tokens = state["tokens"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add(parser, hours=8, rows="8 on a CPU, 128 on a GPU", row_length=512, rates=RATES, log_every=25)
    usual = Schedule()
    parser.add_argument("--base", type=Path, help="stage 1's model; by default `base` in the state folder")
    parser.add_argument("--teacher", type=Path, help="a dense model; by default the one it begins with")
    parser.add_argument("--gate-rate", type=float, default=RATES.gate)
    parser.add_argument("--window", type=int, help="tokens that are always seen; by default the base's")
    parser.add_argument("--saved-pairs", type=float, default=usual.target.pairs, metavar="SHARE")
    parser.add_argument("--saved-rows", type=float, default=usual.target.rows, metavar="SHARE")
    parser.add_argument("--match", type=float, default=usual.match, help="weight of the teacher's distributions")
    args = parser.parse_args()
    device = options.device(args)
    on_cpu = device.type == "cpu"
    store = Store(args.state / STAGE)
    beginning = store.beginning(args.base or args.state / "base")
    base, words = package.load(beginning)
    teacher, _ = package.load(args.teacher or beginning)
    config = replace(base.config, attention_window=args.window or base.config.attention_window)
    schedule = replace(usual, target=Target(args.saved_pairs, args.saved_rows), match=args.match)
    rates = replace(RATES, matrix=args.matrix_rate, other=args.other_rate, gate=args.gate_rate)
    pupil = Pupil(config, base.state_dict(), teacher, device, rates, not args.no_compile, schedule)
    shape = Shape(args.row_length, args.rows or (8 if on_cpu else 128), config.max_position_embeddings)
    lessons = Distillation(pupil, Lessons(words, shape, args.seed), words, args.measured)
    Session(lessons, store, options.plan(args), Clock(on_cpu)).run_until_asked()
    return 0


if __name__ == "__main__":
    sys.exit(main())
