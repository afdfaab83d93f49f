"""How far one model's predictions are from another's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.core.softmax import log_softmax


@dataclass(frozen=True)
class Distance:
    """Over many positions: Kullback-Leibler divergences ``Σ p · ln(p / q)`` in nats, p the probabilities of what is to be
    reproduced, q those of what does it; and the share of positions whose likeliest token is the same."""

    mean: float
    median: float
    p99: float
    largest: float
    top1: float

    def to_dict(self) -> dict[str, float]:
        return {
            "kl_mean": self.mean,
            "kl_median": self.median,
            "kl_p99": self.p99,
            "kl_max": self.largest,
            "top1": self.top1,
        }


class Distances:
    """Collects them, a piece at a time."""

    def __init__(self) -> None:
        self._divergences: list[NDArray[np.float64]] = []
        self._equal, self._count = 0, 0

    def add(self, wanted: NDArray[np.float32], found: NDArray[np.float32]) -> None:
        """Logits ``[R, V]`` of the same positions."""
        p, q = log_softmax(wanted.astype(np.float64)), log_softmax(found.astype(np.float64))
        self._divergences.append(np.maximum((np.exp(p) * (p - q)).sum(-1), 0.0))  # rounding may leave -1e-17 of equal ones
        self._equal += int((wanted.argmax(-1) == found.argmax(-1)).sum())
        self._count += len(wanted)

    def summary(self) -> Distance | None:
        """None of no positions."""
        if not self._count:
            return None
        all_ = np.concatenate(self._divergences)
        return Distance(
            float(all_.mean()),
            float(np.median(all_)),
            float(np.quantile(all_, 0.99)),
            float(all_.max()),
            self._equal / self._count,
        )
