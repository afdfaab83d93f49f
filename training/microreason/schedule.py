"""How the second stage goes: what gates are asked to save, when they become hard, when weights are rounded."""

from __future__ import annotations

from dataclasses import dataclass

from .objectives import Target
from .routing import Soft

ASKED = Target(pairs=0.7, rows=0.62)  # once hard, gates save more than their chances did


@dataclass(frozen=True)
class Schedule:
    """Shares of the time budget, and weights of the losses beside the next token's, which is 1.

    `shortest`: documents of so many tokens are long enough to save in.
    """

    target: Target = ASKED
    shortest: int = 192
    ramp: float = 0.4  # from nothing saved to the target
    hard_from: float = 0.65  # gates as at inference, gradients straight through
    rounded_from: float = 0.75  # int4 on every other step
    temperature: float = 0.3
    match: float = 0.5  # distribution matching
    contrast: float = 0.05
    budget: float = 4.0

    def asked(self, progress: float) -> Target:
        return self.target.at(min(1.0, progress / self.ramp) if self.ramp else 1.0)

    def soft(self, progress: float) -> Soft:
        hard = progress >= self.hard_from
        return Soft(self.temperature, noise=not hard, straight_through=hard)

    def rounds(self, progress: float, step: int) -> bool:
        return progress >= self.rounded_from and step % 2 == 1


AT_THE_END = Schedule(ramp=0.0, hard_from=0.0, rounded_from=0.0)
"""What the third stage keeps of it."""
