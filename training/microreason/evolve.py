"""Stage 3 of MicroReason: the model learns from its own replies, by what they are worth.

    python -m training.microreason.evolve --hours 4

A group-relative policy gradient: of several replies to one problem, what is worth more than their mean becomes likelier, with
a clipped ratio and a leash to the model of stage 2. It begins with that (`stage2/model` in the state folder) and lies in
`stage3` there. Budget, log, pause and going on are those of stage 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer

from training.common.tokenizer import EOS
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import Problem

from . import options, package, rollout, sampler
from .clock import Clock
from .model import MicroReasonForCausalLM
from .policy import Policy
from .practice import Practice
from .rollout import Attempt
from .rounding import rounded
from .session import Session
from .store import Store
from .tasks import sample
from .trainer import Rates

RATES = Rates(matrix=1e-4, other=1e-4, gate=1e-4, warmup_steps=20, decay_from=0.5)
STAGE = "stage3"


@dataclass(frozen=True)
class Round:
    """What is sampled before weights move: `replies` to each of `problems`, of at most `most` tokens; `rows` of
    `row_length` tokens make a step."""

    problems: int = 16
    replies: int = 8
    most: int = 288
    temperature: float = 1.0
    rows: int = 8
    row_length: int = 512


class Evolution:
    """A policy, the problems that it practises, and how it does on held-out ones."""

    def __init__(self, policy: Policy, words: Tokenizer, shape: Round, seed: int, measured: int):
        self.policy, self.words, self.shape, self.seed = policy, words, shape, seed
        self.practice, self.tokens, self.step = Practice(), 0, 0
        self.end: int = words.encode(EOS, add_special_tokens=False).ids[0]
        self.held_out = [p for family in families.MEASURED for p in families.held_out(family, measured, seed=1)]

    def attempts(self, model: MicroReasonForCausalLM, problems: Sequence[Problem], temperature: float) -> list[Attempt]:
        asked = rollout.asked(self.words, problems)
        with torch.autocast(self.policy.device.type, torch.bfloat16):
            replies = sampler.replies(model, asked, self.end, self.shape.most, temperature)
        return [rollout.judged(self.words, *one) for one in zip(problems, asked, replies, strict=True)]

    def groups(self) -> list[list[Attempt]]:
        """Replies to fresh problems, those of a problem together; families that fail are asked more."""
        rng, shares, count = Random(f"{self.seed} round {self.step}"), self.practice.shares, self.shape.replies
        measurable = [family for family in shares if family in families.MEASURED]
        drawn = rng.choices(measurable, [shares[f] for f in measurable], k=self.shape.problems)
        problems = [sample(rng, 1.0, family) for family in drawn]
        tried = self.attempts(self.policy.model, [p for p in problems for _ in range(count)], self.shape.temperature)
        return [tried[at : at + count] for at in range(0, len(tried), count)]

    def learn(self, progress: float) -> dict[str, float]:
        """One round: sampling, then as many steps as its replies fill. Rounded weights sample and learn in every other one."""
        policy, wanted, began = self.policy, self.policy.schedule.rounds(1.0, self.step), time.monotonic()
        with rounded(policy.model, policy.config.hidden_size, wanted):
            groups = self.groups()
        sampled, every = time.monotonic() - began, [one for group in groups for one in group]
        for one in every:
            self.practice.note((one.problem.family,), [bool(one.reward.correct)])
        rows = rollout.packed(rollout.traces(self.words, groups), self.shape.row_length)
        losses = list[dict[str, float]]()
        for at in range(0, len(rows), self.shape.rows):
            given = rollout.experience(rows[at : at + self.shape.rows], self.shape.rows, self.shape.row_length)
            losses.append(policy.reinforce(given, progress, wanted))
        self.step += 1
        self.tokens += sum(len(one.reply.tokens) for one in every)
        found = rollout.averages(every) | {"steps": float(len(losses))}
        found |= {name: sum(one[name] for one in losses) / len(losses) for name in (losses[0] if losses else {})}
        return found | {"sampling": sampled / max(time.monotonic() - began, 1e-6)}

    def remarks(self, progress: float) -> dict[str, object]:
        policy = self.policy
        return {"rate": round(policy.rates.factor(progress, policy.step), 4)}

    def measure(self, folder: Path) -> dict[str, object]:
        """Greedy replies to held-out problems with hard gates. Leaves `model`."""
        policy = self.policy
        package.save(policy.average, policy.config, self.words, folder / "model")
        tried = self.attempts(policy.averaged(), self.held_out, 0.0)
        by_family: dict[str, list[float]] = {}
        for one in tried:
            by_family.setdefault(one.problem.family, []).append(one.reward.correct)
        return {name: round(value, 4) for name, value in rollout.averages(tried).items()} | {
            "by_family": {name: round(sum(row) / len(row), 3) for name, row in by_family.items()}
        }

    def state(self) -> dict[str, Any]:
        practice = dict(self.practice.exact)
        return {"policy": self.policy.state(), "practice": practice, "step": self.step, "tokens": self.tokens}

    def restore(self, state: dict[str, Any]) -> None:
        self.policy.restore(state["policy"])
        self.practice.exact = dict(state["practice"])
        self.step, self.tokens = state["step"], state["tokens"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add(parser, hours=4, rows="8 on a CPU, 64 on a GPU", row_length=512, rates=RATES, log_every=1)
    usual = Round()
    parser.add_argument("--base", type=Path, help="stage 2's model; by default `stage2/model` in the state folder")
    parser.add_argument("--problems", type=int, default=usual.problems, help="of a round")
    parser.add_argument("--replies", type=int, default=usual.replies, help="to each of them")
    parser.add_argument("--temperature", type=float, default=usual.temperature)
    args = parser.parse_args()
    device = options.device(args)
    on_cpu = device.type == "cpu"
    store = Store(args.state / STAGE)
    base, words = package.load(store.beginning(args.base or args.state / "stage2" / "model"))
    rates = replace(RATES, matrix=args.matrix_rate, other=args.other_rate)
    policy = Policy(replace(base.config, attention_routing=True), base.state_dict(), device, rates, not args.no_compile)
    shape = replace(
        usual,
        problems=args.problems,
        replies=args.replies,
        temperature=args.temperature,
        rows=args.rows or (8 if on_cpu else 64),
        row_length=args.row_length,
    )
    evolution = Evolution(policy, words, shape, args.seed, args.measured)
    Session(evolution, store, options.plan(args), Clock(on_cpu)).run_until_asked()
    return 0


if __name__ == "__main__":
    sys.exit(main())
