"""What stages 2 and 3 minimize, each as a function of tensors alone.

N taught tokens, V words, P paths, C hidden_size; B rows of S tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 0.1  # temperature of the contrast, on cosines


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) in nats, the mean over N tokens, of logits [N, V]."""
    wanted, found = teacher.log_softmax(-1), student.log_softmax(-1)
    return (wanted.exp() * (wanted - found)).sum(-1).mean()


def pooled(hidden: Tensor, paths: Tensor, count: int) -> Tensor:
    """The mean hidden state of each path, [P, C]: `paths` [B, S] number them from 1 to `count`, 0 is no path's."""
    flat, index = hidden.flatten(0, 1).float(), paths.flatten()
    sums = torch.zeros(count + 1, flat.shape[1], device=flat.device).index_add(0, index, flat)
    sizes = torch.bincount(index, minlength=count + 1).clamp(min=1)
    return (sums / sizes[:, None])[1:]


def contrast(student: Tensor, teacher: Tensor) -> Tensor:
    """InfoNCE over P paths of one batch, [P, C] each: the teacher's reading of the same path against that of the others."""
    cosines = F.normalize(student, dim=-1) @ F.normalize(teacher, dim=-1).T
    return F.cross_entropy(cosines / SHARPNESS, torch.arange(len(cosines), device=cosines.device))


@dataclass(frozen=True)
class Reach:
    """How far the tokens of packed rows [B, S] are seen in long documents: what gates can save there, and of how much.

    `later`: for how many queries a token lies beyond the window. `pairs` and `rows`: those of a dense model. All are zero
    outside long documents.
    """

    later: Tensor
    pairs: Tensor
    rows: Tensor

    @classmethod
    def of(cls, documents: Tensor, window: int, shortest: int) -> Reach:
        """`documents` [B, S] number those of each row, 0 is padding; those of `shortest` tokens or more count."""
        same = documents[:, :, None] == documents[:, None, :]
        valid = documents > 0
        size = (same & valid[:, None, :]).sum(-1)  # [B, S], of the token's document
        ahead = (same & valid[:, None, :]).triu(1).sum(-1)
        long = valid & (size >= shortest)
        later = (ahead - window + 1).clamp(min=0) * long
        return cls(later.float(), ((ahead + 1) * long).sum().float(), long.sum().float())

    def saved(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The shares of attended pairs, and of rows that a cache would hold at each document's end, that `kept` [B, S] saves."""
        shut = 1 - kept
        return (shut * self.later).sum() / self.pairs.clamp(min=1), (shut * (self.later > 0)).sum() / self.rows.clamp(min=1)


@dataclass(frozen=True)
class Target:
    """Shares of attended pairs and of cached rows that are to be saved in long documents."""

    pairs: float
    rows: float

    def at(self, ramp: float) -> Target:
        return Target(self.pairs * ramp, self.rows * ramp)


def budget(saved: Sequence[tuple[Tensor, Tensor]], target: Target) -> Tensor:
    """What is missing to the target on average over the layers, pairs and rows added; nothing where more is saved than asked."""
    pairs, rows = (torch.stack([one[i] for one in saved]).mean() for i in (0, 1))
    return F.relu(target.pairs - pairs) + F.relu(target.rows - rows)


def kept(gates: Tensor, temperature: float, hard: bool) -> Tensor:
    """How far a token is kept, of its gate's logit: the probability that the noisy gate is open; hard, 0 or 1 with the gradient
    of the soft gate."""
    if not hard:
        return gates.sigmoid()  # P(logit + logistic noise > 0)
    soft = (gates / temperature).sigmoid()
    return (gates > 0).float() + soft - soft.detach()


def policy(new: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped surrogate of tokens [N] that were sampled with log probabilities `old`; lower is better."""
    ratio = (new - old).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def drift(new: Tensor, reference: Tensor) -> Tensor:
    """KL(new || reference) of tokens [N] sampled from about `new`, by the estimator that is never negative: r - 1 - log r."""
    gap = reference - new
    return (gap.exp() - 1 - gap).mean()


def advantages(rewards: Tensor, least: float = 0.05) -> Tensor:
    """[G, K] rewards of K replies to each of G problems: how far each is above its group, in the group's deviations."""
    deviation = rewards.std(-1, keepdim=True, unbiased=False).clamp(min=least)
    return (rewards - rewards.mean(-1, keepdim=True)) / deviation
