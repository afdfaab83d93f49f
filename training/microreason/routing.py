"""Dynamic attention routing: which tokens stay visible, at inference (hard) and while gates are trained (soft).

A token whose gate is open is seen by all later tokens of its document; one whose gate is shut only within a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LOWEST = -1e4  # log of a shut gate: far below any score, and finite in every float type


@dataclass(frozen=True)
class Soft:
    """Gates while they are trained, as in dynamic memory sparsification (arXiv 2506.05345): a Gumbel-sigmoid sample.

    With `straight_through` the sample is rounded in the forward pass, as at inference, and its gradient is the soft
    sample's. Without `noise` the sample is the sigmoid itself.
    """

    temperature: float = 0.3
    noise: bool = True
    straight_through: bool = False

    def log_gate(self, logits: Tensor) -> Tensor:
        """log g, what is added to a token's scores beyond the window; same shape as `logits`."""
        if self.noise:
            uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
            logits = logits + torch.logit(uniform)
        soft = F.logsigmoid(logits / self.temperature)
        if not self.straight_through:
            return soft.clamp(min=LOWEST)
        # exp(soft) falls with the gate, so the gradient of the log would vanish where a gate is shut; that of g doesn't.
        hard = torch.where(logits > 0, 0.0, LOWEST)
        return hard + (soft.exp() - soft.exp().detach())


def backward_distance(queries: int, keys: int, device: torch.device) -> Tensor:
    """How far each key lies behind each query [S, T], the queries being the last of the keys; negative for keys ahead."""
    at = torch.arange(keys, device=device)
    return at[keys - queries :, None] - at[None, :]


def same_document(query_documents: Tensor, key_documents: Tensor) -> Tensor:
    """[B, S] and [B, T] document numbers to [B, S, T], true where both are of one document; 0 is padding."""
    return query_documents[:, :, None] == key_documents[:, None, :]


def hard_mask(seen: Tensor, distance: Tensor, opened: Tensor, window: int) -> Tensor:
    """Which keys a query sees, [B, S, T], true where it does.

    seen: [B, S, T] or [S, T], what causality and documents allow; distance: [S, T] in tokens; opened: [B, T].
    """
    return seen & (opened[:, None, :] | (distance < window))


def soft_bias(seen: Tensor, distance: Tensor, log_gate: Tensor, window: int) -> Tensor:
    """What is added to the scores, [B, S, T]: 0 within the window, log g beyond it, minus infinity where nothing is seen."""
    bias = torch.where(distance < window, torch.zeros_like(log_gate)[:, None, :], log_gate[:, None, :])
    return bias.masked_fill(~seen, float("-inf"))
