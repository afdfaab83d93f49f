"""Trains youtu-nano from nothing on the CPU.

    python -m training.nano.train --output youtu_onnx/models/youtu_nano --minutes 55

The length is given in minutes, not steps: the learning rate follows the time spent, so a slow
machine trains less but still ends on a finished schedule. A checkpoint is kept beside the run;
`--resume` goes on from it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from random import Random

import torch
import torch._inductor.config
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, YoutuForCausalLM, set_seed

from training.common import tokenizer as bpe
from training.common.batches import IGNORED
from training.common.optimizers import muon_and_adamw
from training.common.rounding import round_to_int4

from . import evaluate, package
from . import tokenizer as nano_tokenizer
from .batches import batches
from .tasks import MEASURED, held_out

ROWS = 30  # of 128 tokens: 3840 tokens, about 80 conversations, a step
MATRIX_RATE, OTHER_RATE = 4e-3, 3e-3
WARMUP_STEPS = 150
DECAY_FROM = 0.55  # share of the time at full rate; then linear to zero
ROUNDED_FROM = 0.70  # share of the time after which weights are rounded to int4 in every other step
AVERAGE = 0.998  # weight average over about 500 steps: what is saved


def rate(progress: float, step: int) -> float:
    """Warm-up, a plateau, and a linear decay that ends with the time."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, max(0.0, 1 - progress) / (1 - DECAY_FROM))


class Threads:
    """Picks one thread or all of them, whichever has the faster steps at present.

    On a machine shared with other work, threads that wait for each other at every operation can be
    slower than one alone; on a quiet machine they are not. So both are timed again and again.
    """

    PROBE, PERIOD = 4, 60  # steps timed with each setting, and how often

    def __init__(self, most: int):
        self.settings = sorted({1, most})
        self.best, self.times = most, dict.fromkeys(self.settings, 0.0)

    def before(self, step: int) -> None:
        probe = step % self.PERIOD // self.PROBE
        threads = self.settings[probe] if probe < len(self.settings) else self.best
        torch.set_num_threads(threads)

    def after(self, step: int, seconds: float) -> None:
        probe, turn = divmod(step % self.PERIOD, self.PROBE)
        if probe >= len(self.settings) or turn == 0:  # the first step after a change is not typical
            return
        threads = self.settings[probe]
        self.times[threads] = seconds if turn == 1 else self.times[threads] + seconds
        if (probe, turn) == (len(self.settings) - 1, self.PROBE - 1):
            self.best = min(self.times, key=self.times.__getitem__)


class Trainer:
    """The state of a run: weights, their average, optimizers, and the time spent."""

    def __init__(self, tokenizer: Tokenizer, seed: int, compiled: bool, shape: str = "nano", *, rounding: bool = True):
        """``shape``: one of :data:`.package.SHAPES`. ``rounding``: of weights, to int4, in the last part."""
        set_seed(seed)
        self.tokenizer, self.seed, self.shape, self.rounding = tokenizer, seed, shape, rounding
        self.model = YoutuForCausalLM(package.config(tokenizer, shape))
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n]
        vectors = [p for p in self.model.parameters() if p.ndim == 1]
        self.optimizers = muon_and_adamw(matrices, [self.model.model.embed_tokens.weight], vectors, MATRIX_RATE, OTHER_RATE)
        self.rated = [(group, group["lr"]) for o in self.optimizers for group in o.param_groups]
        self.rounded = [*matrices, self.model.model.embed_tokens.weight]
        torch._inductor.config.cpp.dynamic_threads = True  # else the number of threads is compiled in
        self.forward = torch.compile(self.model) if compiled else self.model
        self.step, self.spent = 0, 0.0

    def train_step(self, batch: dict[str, torch.Tensor], progress: float) -> float:
        factor = rate(progress, self.step)
        for group, full in self.rated:
            group["lr"] = full * factor
        exact = None
        if self.rounding and progress > ROUNDED_FROM and self.step % 2:
            exact = [p.detach().clone() for p in self.rounded]
            with torch.no_grad():
                for p in self.rounded:
                    p.copy_(round_to_int4(p))
        labels = batch.pop("labels")
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.forward(**batch, use_cache=False).logits
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED)
        torch.autograd.backward(loss)
        if exact is not None:
            with torch.no_grad():
                for p, value in zip(self.rounded, exact, strict=True):
                    p.copy_(value)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            decay = min(AVERAGE, self.step / (self.step + 10))
            state = self.model.state_dict()
            torch._foreach_lerp_(list(self.average.values()), [state[k] for k in self.average], 1 - decay)
        self.step += 1
        return loss.item()

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average,
                "step": self.step,
                "spent": self.spent,
                "optimizers": [o.state_dict() for o in self.optimizers],
            },
            scratch,
        )
        os.replace(scratch, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.spent = state["step"], state["spent"]

    def accuracy(self, count: int) -> str:
        """Held-out greedy accuracy of the averaged weights, a line for the log."""
        model = YoutuForCausalLM(package.config(self.tokenizer, self.shape))
        model.train(False)
        model.load_state_dict(self.average)
        wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=self.tokenizer,
            bos_token=bpe.BOS,
            eos_token=bpe.EOS,
            pad_token=bpe.EOS,
            chat_template=bpe.TEMPLATE.read_text(encoding="utf-8"),
        )
        problems = [p for family in MEASURED for p in held_out(family, count, seed=1)]
        results, _ = evaluate.measure(model, wrapped, problems)
        table = evaluate.summary(results)
        return " ".join(f"{row} {100 * table[row]['both']:.0f}" for row in (*MEASURED, "all"))


def run(trainer: Trainer, args: argparse.Namespace) -> None:
    """Trains until the minutes are spent, keeping a checkpoint and a usable model on the way."""
    limit, model = args.minutes * 60, trainer.model.config
    # A resumed run must not repeat its first batches.
    rng = Random(f"{trainer.seed} {trainer.step}")
    assert isinstance(model.eos_token_id, int)
    stream = batches(trainer.tokenizer, rng, ROWS, model.max_position_embeddings, model.eos_token_id)
    losses, started, saved, threads = [], None, trainer.spent, Threads(args.threads)
    before = trainer.spent
    for batch in stream:
        step, clock = trainer.step, time.monotonic()
        threads.before(step)
        losses.append(trainer.train_step(batch, trainer.spent / limit))
        threads.after(step, time.monotonic() - clock)
        # The first step compiles; that time isn't training and mustn't shorten the schedule.
        started = started or time.monotonic()
        trainer.spent = before + time.monotonic() - started
        if trainer.step % 100 == 0:
            mean = sum(losses) / len(losses)
            print(f"step {trainer.step} spent {trainer.spent:.0f}s threads {threads.best} loss {mean:.4f}", flush=True)
            losses = []
        if trainer.spent - saved > args.save_every * 60 or trainer.spent >= limit:
            saved = trainer.spent
            trainer.save(args.checkpoint)
            package.save(trainer.average, trainer.tokenizer, args.output, trainer.shape)
            print(f"step {trainer.step} spent {trainer.spent:.0f}s accuracy: {trainer.accuracy(24)}", flush=True)
        if trainer.spent >= limit:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the model, replaced file by file")
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--checkpoint", type=Path, default=Path("build/youtu-nano.pt"))
    parser.add_argument("--save-every", type=float, default=3, metavar="MINUTES")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--shape", choices=package.SHAPES, default="nano")
    parser.add_argument("--no-rounding", action="store_true", help="weights never see int4: what a model of others is like")
    parser.add_argument("--no-compile", action="store_true", help="start at once; a third slower")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # The corpus of the tokenizer is drawn from the tasks, so a change of those would renumber the tokens:
    # a resumed run keeps the tokenizer that its weights know.
    tokenizer = Tokenizer.from_file(str(args.output / "tokenizer.json")) if args.resume else nano_tokenizer.build()
    trainer = Trainer(tokenizer, args.seed, not args.no_compile, args.shape, rounding=not args.no_rounding)
    if args.resume:
        trainer.load(args.checkpoint)
    run(trainer, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
