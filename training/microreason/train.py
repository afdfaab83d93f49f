"""Stage 1 of MicroReason: the dense base, trained on generated problems with worked steps.

    python -m training.microreason.train --preset 27m --hours 8

The budget is hours of training over all sessions: on a CPU processor time per thread, so it doesn't matter what else the
machine does. The learning rate follows it. A run is killed at any moment and goes on where its state was last written:
the same command again. A file PAUSE in the state folder makes it wait.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from . import evaluate, options, package, tasks, tokenizer
from .clock import Clock
from .config import PRESETS
from .practice import Practice
from .session import Session
from .store import Store
from .stream import Shape, Stream
from .trainer import Rates, Trainer


class Base:
    """The dense model, taught from a stream of problems; half its depth until `grow_at` of the budget, and problems that grow
    longer until `ripe_at` of it. What a measurement finds wanting is asked more until the next."""

    def __init__(
        self, trainer: Trainer, stream: Stream, words: Tokenizer, grow_at: float, measured: int, ripe_at: float = tasks.RIPE_AT
    ):
        self.trainer, self.stream, self.words, self.measured = trainer, stream, words, measured
        self.grow_at, self.ripe_at = grow_at, ripe_at
        self.practice, self.tokens = Practice(), 0

    @property
    def step(self) -> int:
        return self.trainer.step

    def learn(self, progress: float) -> dict[str, float]:
        trainer = self.trainer
        if trainer.depth < trainer.config.num_hidden_layers and progress >= self.grow_at:
            trainer.grow(trainer.config.num_hidden_layers)
        batch = self.stream.next(min(1.0, progress * tasks.RIPE_AT / self.ripe_at), self.practice.shares)
        self.tokens += batch.input_ids.numel()
        return {"loss": trainer.train_step(batch.to(trainer.device), progress)}

    def remarks(self, progress: float) -> dict[str, object]:
        return {"rate": round(self.trainer.rates.factor(progress, self.step), 4), "layers": self.trainer.depth}

    def measure(self, folder: Path) -> dict[str, object]:
        """Held-out accuracy, greedy; the averaged weights become a model folder."""
        model = self.trainer.averaged()
        package.save(self.trainer.average, model.config, self.words, folder / "base")
        rows = evaluate.table(evaluate.measure(model, self.words, self.measured, seed=1))
        self.practice.measured({family: row["correct"] / 100 for family, row in rows.items()})
        return {name: {family: row[name] for family, row in rows.items()} for name in ("correct", "sound")}

    def state(self) -> dict[str, Any]:
        practice = dict(self.practice.exact)
        return self.trainer.state() | {"tokens": self.tokens, "stream": self.stream.state, "practice": practice}

    def restore(self, state: dict[str, Any]) -> None:
        self.trainer.restore(state)
        self.stream.restore(state["stream"])
        self.practice.exact = dict(state["practice"])
        self.tokens = state["tokens"]


def tokenizer_of(store: Store) -> Tokenizer:
    """The run's own: its corpus is drawn from the tasks, so a change of those would renumber the tokens."""
    file = store.folder / "tokenizer.json"
    if not file.exists():
        tokenizer.build().save(str(file))
    words: Tokenizer = Tokenizer.from_file(str(file))
    return words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="27m")
    options.add(parser, hours=8, rows="16 on a CPU, 256 on a GPU", row_length=256, rates=Rates(), log_every=25)
    parser.add_argument("--first-depth", type=int, help="layers to begin with; by default half")
    parser.add_argument("--grow-at", type=float, default=0.3, metavar="SHARE", help="of the budget, when all layers are there")
    parser.add_argument("--ripe-at", type=float, default=tasks.RIPE_AT, metavar="SHARE", help="when problems have full length")
    parser.add_argument("--workers", type=int, help="processes that make problems; by default 0 on a CPU, 8 on a GPU")
    args = parser.parse_args()
    device = options.device(args)
    on_cpu = device.type == "cpu"
    store, config = Store(args.state), PRESETS[args.preset]
    words = tokenizer_of(store)
    shape = Shape(args.row_length, args.rows or (16 if on_cpu else 256), config.max_position_embeddings)
    depth = args.first_depth or config.num_hidden_layers // 2
    rates = Rates(matrix=args.matrix_rate, other=args.other_rate)
    workers = args.workers if args.workers is not None else 0 if on_cpu else 8
    with ProcessPoolExecutor(max(1, workers), get_context("spawn")) as executor:
        stream = Stream(words, shape, args.seed, executor if workers else None, workers)
        trainer = Trainer(config, depth, device, rates, not args.no_compile)
        base = Base(trainer, stream, words, args.grow_at, args.measured, args.ripe_at)
        Session(base, store, options.plan(args), Clock(on_cpu)).run_until_asked()
    return 0


if __name__ == "__main__":
    sys.exit(main())
