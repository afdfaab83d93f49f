"""Stage 1 of MicroReason: the dense base, trained on generated problems with worked steps.

    python -m training.microreason.train --preset 27m --hours 8

The budget is hours of training over all sessions: on a CPU processor time per thread, so it doesn't matter what else the
machine does. The learning rate follows it. A run is killed at any moment and goes on where its state was last written:
the same command again. A file PAUSE in the state folder makes it wait.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

import torch
from tokenizers import Tokenizer

from . import evaluate, package, tokenizer
from .clock import Clock, threads_for
from .config import PRESETS
from .store import DEFAULT, Store
from .stream import Shape, Stream
from .trainer import Rates, Trainer


@dataclass(frozen=True)
class Plan:
    """What a session does. Times in seconds of training."""

    budget: float
    first_depth: int
    grow_at: float  # progress at which the full depth is reached
    save_every: float
    measure_every: float
    log_every: int
    measured: int  # problems of each family in a measurement
    threads: int


class Session:
    """Trains until the budget is spent or somebody asks it to stop."""

    def __init__(self, trainer: Trainer, stream: Stream, words: Tokenizer, store: Store, plan: Plan, clock: Clock):
        self.trainer, self.stream, self.words, self.store, self.plan, self.clock = trainer, stream, words, store, plan, clock
        self.spent, self.tokens, self.stopping = 0.0, 0, False
        self.saved = self.measured = 0.0
        saved = store.load()
        if saved is not None:
            trainer.restore(saved)
            stream.restore(saved["stream"])
            self.spent, self.tokens = saved["spent"], saved["tokens"]
            self.saved, self.measured = self.spent, saved["measured"]

    @property
    def progress(self) -> float:
        return min(1.0, self.spent / self.plan.budget)

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self.stopping = True

    def save(self) -> None:
        self.saved = self.spent
        state = {"spent": self.spent, "tokens": self.tokens, "measured": self.measured, "stream": self.stream.state}
        self.store.save(self.trainer.state() | state)

    def measure(self) -> None:
        """Held-out accuracy into the log, and the averaged weights as a model folder. Its time isn't training."""
        self.measured, began = self.spent, time.monotonic()
        model = self.trainer.averaged()
        package.save(self.trainer.average, model.config, self.words, self.store.folder / "base")
        rows = evaluate.table(evaluate.measure(model, self.words, self.plan.measured, seed=1))
        self.store.write(
            {
                "kind": "accuracy",
                "step": self.trainer.step,
                "hours": round(self.spent / 3600, 4),
                "tokens": self.tokens,
                "correct": {name: row["correct"] for name, row in rows.items()},
                "sound": {name: row["sound"] for name, row in rows.items()},
                "seconds": round(time.monotonic() - began, 1),
            }
        )

    def log(self, losses: list[float], tokens: int, seconds: float, passed: float) -> None:
        self.store.write(
            {
                "kind": "train",
                "step": self.trainer.step,
                "hours": round(self.spent / 3600, 4),
                "tokens": self.tokens,
                "loss": round(sum(losses) / len(losses), 4),
                "rate": round(self.trainer.rates.factor(self.progress, self.trainer.step), 4),
                "layers": self.trainer.depth,
                "threads": torch.get_num_threads(),
                "tokens_per_second": round(tokens / seconds),  # of training time
                "tokens_per_second_passed": round(tokens / passed),  # with all that the machine did besides
            }
        )

    def run(self) -> None:
        plan, trainer = self.plan, self.trainer
        losses, begun = list[float](), (self.spent, self.tokens, time.monotonic())
        while self.spent < plan.budget and not self.stopping:
            if self.store.paused:
                self.save()
                print("paused", flush=True)
                self.store.wait()
                begun = (begun[0], begun[1], time.monotonic())
            if trainer.depth < trainer.config.num_hidden_layers and self.progress >= plan.grow_at:
                trainer.grow(trainer.config.num_hidden_layers)
            start = self.clock.now()
            batch = self.stream.next(self.progress)
            losses.append(trainer.train_step(batch.to(trainer.device), self.progress))
            self.spent += self.clock.since(start)
            self.tokens += batch.input_ids.numel()
            if trainer.step % plan.log_every == 0:
                self.log(losses, self.tokens - begun[1], self.spent - begun[0], time.monotonic() - begun[2])
                losses, begun = [], (self.spent, self.tokens, time.monotonic())
                torch.set_num_threads(threads_for(plan.threads, torch.get_num_threads()))
            if self.spent - self.measured >= plan.measure_every or self.spent >= plan.budget:
                self.measure()
            if self.spent - self.saved >= plan.save_every:
                self.save()
        self.save()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="27m")
    parser.add_argument("--hours", type=float, default=8, help="of training, over all sessions")
    parser.add_argument("--state", type=Path, default=DEFAULT, help="folder of the run, outside the repository")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto")
    parser.add_argument("--threads", type=int, default=1, help="at most; one while the machine is busy")
    parser.add_argument("--rows", type=int, help="rows of a step; by default 16 on a CPU, 256 on a GPU")
    parser.add_argument("--row-length", type=int, default=256)
    parser.add_argument("--first-depth", type=int, help="layers to begin with; by default half")
    parser.add_argument("--grow-at", type=float, default=0.3, metavar="SHARE", help="of the budget, when all layers are there")
    parser.add_argument("--matrix-rate", type=float, default=Rates.matrix)
    parser.add_argument("--other-rate", type=float, default=Rates.other)
    parser.add_argument("--save-every", type=float, default=4, metavar="MINUTES")
    parser.add_argument("--measure-every", type=float, default=20, metavar="MINUTES")
    parser.add_argument("--measured", type=int, default=12, metavar="N", help="problems of each family in a measurement")
    parser.add_argument("--log-every", type=int, default=25, metavar="STEPS")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="start at once; a sixth slower")
    parser.add_argument("--workers", type=int, help="processes that make problems; by default 0 on a CPU, 8 on a GPU")
    args = parser.parse_args()
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device)
    on_cpu = device.type == "cpu"
    torch.set_num_threads(1 if on_cpu else args.threads)
    torch.manual_seed(args.seed)
    store, config = Store(args.state), PRESETS[args.preset]
    # The corpus of the tokenizer is drawn from the tasks, so a change of those would renumber the tokens: a run keeps its own.
    words_file = store.folder / "tokenizer.json"
    if not words_file.exists():
        tokenizer.build().save(str(words_file))
    words = Tokenizer.from_file(str(words_file))
    shape = Shape(args.row_length, args.rows or (16 if on_cpu else 256), config.max_position_embeddings)
    depth = args.first_depth or config.num_hidden_layers // 2
    rates = Rates(matrix=args.matrix_rate, other=args.other_rate)
    plan = Plan(
        budget=3600 * args.hours,
        first_depth=depth,
        grow_at=args.grow_at,
        save_every=60 * args.save_every,
        measure_every=60 * args.measure_every,
        log_every=args.log_every,
        measured=args.measured,
        threads=args.threads,
    )
    workers = args.workers if args.workers is not None else 0 if on_cpu else 8
    with ProcessPoolExecutor(max(1, workers), get_context("spawn")) as executor:
        stream = Stream(words, shape, args.seed, executor if workers else None, workers)
        trainer = Trainer(config, depth, device, rates, not args.no_compile)
        session = Session(trainer, stream, words, store, plan, Clock(on_cpu))
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, session.stop)
        session.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
