"""Plug-in knowledge: a LoRA adapter of a family that the base has never seen, the base being frozen.

    python -m training.microreason.plug_in roman --base ~/.cache/youtu-onnx/microreason/base --minutes 20

The adapter is in PEFT's format, in the folder `adapter` of the run: `plug_ins/roman` in the state folder. The run is paused,
killed and gone on with as those of the stages are.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn

from training.common.batches import IGNORED, encode, packed_rows
from training.common.conversation import conversation
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import Problem

from . import evaluate, package, plug_in_lora, rounding
from .clock import Clock
from .generate import replies
from .model import MicroReasonForCausalLM
from .session import Plan, Session
from .store import DEFAULT, Store
from .stream import Batch, Rows, Shape, Stream
from .tasks import sample

POOL = 400  # conversations packed at a time
BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained.

    Attributes:
        others: the share of problems that are the base's own, so that the adapter doesn't cost what the base can do.
        rate: of AdamW, at its highest; it begins to fall to zero at `decay_from` of the budget.
    """

    rank: int = 8
    alpha: float = 16.0
    rate: float = 3e-3
    warmup_steps: int = 10
    decay_from: float = 0.4
    others: float = 0.1

    def factor(self, progress: float, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup_steps) * min(1.0, max(0.0, 1 - progress) / (1 - self.decay_from))


def pool(
    words: str, shape: Shape, seed: int, family: str, others: float, index: int, progress: float, shares: Mapping[str, float]
) -> Rows:
    """The rows of one pool, the same for the same arguments: conversations about the family and, some, about what the base
    knows. `words` is the tokenizer's JSON."""
    rng, tokenizer = Random(f"{seed} {family} {index}"), Tokenizer.from_str(words)

    def draw(draws: Random, language: str | None) -> Problem:
        other = draws.random() < others
        return sample(draws, 1.0 if other else progress, None if other else family, language, shares)

    samples = [encode(tokenizer, conversation(rng, draw, 0.0), rng, shape.context) for _ in range(POOL)]
    rows = packed_rows([one for one in samples if len(one[0]) <= shape.row_length], shape.row_length)
    rng.shuffle(rows)
    return rows


def stream(words: Tokenizer, shape: Shape, seed: int, family: str, others: float) -> Stream:
    made = Stream(words, shape, seed)
    made.make = partial(pool, words.to_str(), shape, seed, family, others)
    return made


class PlugIn:
    """A frozen model with factors that learn a family. Its weights are left as they are given."""

    def __init__(
        self, model: MicroReasonForCausalLM, words: Tokenizer, family: str, recipe: Recipe, shape: Shape, seed: int, measured: int
    ):
        self.model, self.words, self.family, self.recipe, self.measured = model, words, family, recipe, measured
        self.added = plug_in_lora.attach(model, recipe.rank, recipe.alpha)
        self.factors = plug_in_lora.factors(self.added)
        self.optimizer = torch.optim.AdamW(self.factors.values(), lr=recipe.rate, betas=BETAS, weight_decay=0.0)
        self.stream = stream(words, shape, seed, family, recipe.others)
        self.step = self.tokens = 0

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of the taught tokens."""
        hidden = self.model.model(batch.input_ids, batch.position_ids, batch.document_ids).hidden
        targets = batch.labels[:, 1:]
        taught = targets != IGNORED
        return F.cross_entropy(self.model.logits(hidden[:, :-1][taught]).float(), targets[taught])

    def learn(self, progress: float) -> dict[str, float]:
        device = self.model.model.embed_tokens.weight.device
        batch = self.stream.next(progress).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * self.recipe.factor(progress, self.step)
        nn.utils.clip_grad_norm_(list(self.factors.values()), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.tokens += batch.input_ids.numel()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"loss is {loss.item()} at step {self.step}; resume from the last state with a lower --rate")
        return {"loss": loss.item()}

    def remarks(self, progress: float) -> dict[str, object]:
        return {"rate": round(self.recipe.factor(progress, self.step), 4)}

    def measure(self, folder: Path) -> dict[str, object]:
        """Writes the adapter; accuracy on problems of the family that no training shows, with it and without."""
        plug_in_lora.save(self.added, folder / "adapter", self.recipe.rank, self.recipe.alpha, "microreason")
        with_it = self.marks()
        with self.without():
            alone = self.marks()
        return {"with": with_it, "without": alone}

    def marks(self) -> dict[str, float]:
        """Percent of greedy replies that are right, and of their steps that are sound."""
        problems = families.held_out(self.family, self.measured, seed=1)
        made = replies(self.model, self.words, problems)
        return evaluate.table([evaluate.mark(p, r) for p, r in zip(problems, made, strict=True)])["all"]

    @contextmanager
    def without(self) -> Iterator[None]:
        """Inside, the base alone answers."""
        scales = {name: one.scale for name, one in self.added.items()}
        for one in self.added.values():
            one.scale = 0.0
        try:
            yield
        finally:
            for name, one in self.added.items():
                one.scale = scales[name]

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "tokens": self.tokens,
            "factors": {name: one.detach() for name, one in self.factors.items()},
            "optimizer": self.optimizer.state_dict(),
            "stream": self.stream.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.tokens = state["step"], state["tokens"]
        with torch.no_grad():
            for name, one in self.factors.items():
                one.copy_(state["factors"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.stream.restore(state["stream"])


def arguments() -> argparse.Namespace:
    recipe = Recipe()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=families.PLUGGED)
    parser.add_argument("--base", type=Path, default=DEFAULT / "base", help="the model's folder, which is copied and not changed")
    parser.add_argument("--minutes", type=float, default=20, help="of training, over all sessions")
    parser.add_argument("--state", type=Path, default=DEFAULT / "plug_ins", help="folder of the runs, outside the repository")
    parser.add_argument("--rank", type=int, default=recipe.rank)
    parser.add_argument("--alpha", type=float, default=recipe.alpha)
    parser.add_argument("--rate", type=float, default=recipe.rate)
    parser.add_argument("--others", type=float, default=recipe.others, metavar="SHARE", help="of the base's own problems")
    parser.add_argument("--float", action="store_true", help="beside the weights as they are; else as an int4 export rounds them")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--row-length", type=int, default=256)
    parser.add_argument("--measured", type=int, default=60, metavar="N", help="problems in a measurement")
    parser.add_argument("--measure-every", type=float, default=5, metavar="MINUTES")
    parser.add_argument("--save-every", type=float, default=2, metavar="MINUTES")
    parser.add_argument("--threads", type=int, default=1, help="at most; one while the machine is busy")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    store = Store(args.state / args.family)
    model, words = package.load(store.beginning(args.base))
    if not args.float:
        rounding.round_(model, model.config.hidden_size)
    recipe = Recipe(rank=args.rank, alpha=args.alpha, rate=args.rate, others=args.others)
    shape = Shape(args.row_length, args.rows, model.config.max_position_embeddings)
    learner = PlugIn(model, words, args.family, recipe, shape, args.seed, args.measured)
    plan = Plan(60 * args.minutes, 60 * args.save_every, 60 * args.measure_every, log_every=5, threads=args.threads)
    Session(learner, store, plan, Clock(on_cpu=True)).run_until_asked()
    print(f"the adapter is in {store.folder / 'adapter'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
