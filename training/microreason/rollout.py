"""Replies that the model gives to fresh problems, what they are worth, and rows of them to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.common.batches import IGNORED, packed_rows
from training.common.conversation import reply_text
from training.common.tokenizer import EOS
from youtu_onnx.problems.problem import Problem

from . import objectives
from .generate import prompt
from .reward import Reward, reward
from .sampler import Reply
from .stream import Batch

Tokens = list[int]


@dataclass(frozen=True)
class Attempt:
    """A reply to a problem, and its reward."""

    problem: Problem
    asked: Tokens
    reply: Reply
    reward: Reward


@dataclass(frozen=True)
class Trace:
    """One document to learn from: a sampled reply with its advantage, or, where `shown`, the solver's own."""

    asked: Tokens
    said: Tokens
    log_probabilities: list[float]
    advantage: float
    shown: bool


@dataclass(frozen=True)
class Experience:
    """Packed traces. `old` and `advantage` [B, S] stand where the labels do; `shown` says which tokens are a solver's."""

    batch: Batch
    old: Tensor
    advantage: Tensor
    shown: Tensor

    def to(self, device: torch.device) -> Experience:
        return Experience(self.batch.to(device), self.old.to(device), self.advantage.to(device), self.shown.to(device))


def tokens(words: Tokenizer, text: str) -> Tokens:
    ids: Tokens = words.encode(text, add_special_tokens=False).ids
    return ids


def judged(words: Tokenizer, problem: Problem, asked: Tokens, reply: Reply) -> Attempt:
    text = words.decode(reply.tokens, skip_special_tokens=False)
    return Attempt(problem, asked, reply, reward(problem, text.removesuffix(EOS), reply.finished))


def traces(words: Tokenizer, groups: Sequence[Sequence[Attempt]]) -> list[Trace]:
    """What groups of replies to one problem each teach: nothing where all are worth the same; the solver's reply, too, where
    none is right."""
    found = list[Trace]()
    for group in groups:
        worth = torch.tensor([[one.reward.total for one in group]])
        above = objectives.advantages(worth)[0].tolist()
        if any(above):
            found += [
                Trace(one.asked, one.reply.tokens, one.reply.log_probabilities, how, False)
                for one, how in zip(group, above, strict=True)
            ]
        if not any(one.reward.correct for one in group):
            said = tokens(words, reply_text(group[0].problem) + EOS)
            found.append(Trace(group[0].asked, said, [0.0] * len(said), 0.0, True))
    return found


def packed(given: Sequence[Trace], row_length: int) -> list[list[Trace]]:
    """Rows of whole traces; one that is longer than a row is left out."""
    sized = [([*t.asked, *t.said], t) for t in given if len(t.asked) + len(t.said) <= row_length]
    return [[one[1] for one in row] for row in packed_rows(sized, row_length)]  # type: ignore[arg-type,misc]


def experience(rows: Sequence[Sequence[Trace]], height: int, row_length: int) -> Experience:
    """`height` rows, the last of them empty where there are fewer: one shape compiles once."""
    size = (height, row_length)
    ids, positions, documents = (torch.zeros(size, dtype=torch.long) for _ in range(3))
    labels, old, advantage = torch.full(size, IGNORED), torch.zeros(size), torch.zeros(size)
    shown = torch.zeros(size, dtype=torch.bool)
    for b, row in enumerate(rows):
        at = 0
        for number, one in enumerate(row, start=1):
            start, end = at + len(one.asked), at + len(one.asked) + len(one.said)
            ids[b, at:end] = torch.tensor(one.asked + one.said)
            labels[b, start:end] = torch.tensor(one.said)
            positions[b, at:end], documents[b, at:end] = torch.arange(end - at), number
            old[b, start:end], advantage[b, start:end] = torch.tensor(one.log_probabilities), one.advantage
            shown[b, start:end] = one.shown
            at = end
    return Experience(Batch(ids, labels, positions, documents), old, advantage, shown)


def asked(words: Tokenizer, problems: Sequence[Problem]) -> list[Tokens]:
    return [tokens(words, prompt(problem)) for problem in problems]


def averages(attempts: Sequence[Attempt]) -> dict[str, float]:
    """The mean reward, its three parts, and the share of replies with each fault."""
    n = len(attempts)
    found = {
        "reward": sum(a.reward.total for a in attempts) / n,
        "correct": sum(a.reward.correct for a in attempts) / n,
        "efficient": sum(a.reward.efficient for a in attempts) / n,
        "sound": sum(a.reward.sound for a in attempts) / n,
    }
    faults = [fault for a in attempts for fault in a.reward.faults]
    return found | {f"fault_{name}": faults.count(name) / n for name in dict.fromkeys(faults)}
