"""Drawing the next token."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from youtu_onnx.chat.distribution import distribution
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.errors import BundleError, UsageError


class Sampler:
    """Draws tokens; the same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        biases = sampling.biases
        self._biased = np.array([id_ for id_, _ in biases], np.int64)
        self._biases = np.array([bias for _, bias in biases], np.float64)

    def pick(
        self,
        logits: np.ndarray,
        seen: Collection[int] = (),
        *,
        generated: Mapping[int, int] | None = None,
        allowed: np.ndarray | None = None,
    ) -> int:
        """A token id.

        Args:
            logits: ``[V]``; left as they are.
            seen: ids that the repetition penalty applies to.
            generated: how often each id is in the reply: what presence and frequency penalties apply to.
            allowed: bool ``[V]``: only these may be taken, whatever their logits; None: all.

        Raises:
            BundleError: the logits are not numbers.
            UsageError: no token is allowed, or logit_bias names one outside the vocabulary.
        """
        logits = np.array(logits, np.float64)
        if not np.isfinite(logits.max()):  # a NaN anywhere makes the maximum NaN
            raise BundleError("the model computed logits that are not numbers", hint="check the bundle with youtu-onnx verify")
        logits = self._adjust(penalize(logits, seen, self.sampling.repetition_penalty), generated or {})
        if allowed is not None:
            logits = _restrict(logits, allowed)
        if self.sampling.deterministic:
            return int(logits.argmax())
        ids, cumulated = distribution(logits, self.sampling)
        np.cumsum(cumulated, out=cumulated)
        # Rounding may put a number drawn below 1 at the very end: the last token that has a probability stands for it.
        place = np.searchsorted(cumulated, self._random.random() * cumulated[-1], side="right")
        return int(ids[min(place, np.searchsorted(cumulated, cumulated[-1]))])

    def _adjust(self, logits: np.ndarray, generated: Mapping[int, int]) -> np.ndarray:
        """Presence and frequency penalties and the bias, in place."""
        sampling = self.sampling
        if generated and (sampling.presence_penalty or sampling.frequency_penalty):
            ids = np.fromiter(generated.keys(), np.int64, len(generated))
            counts = np.fromiter(generated.values(), np.float64, len(generated))
            logits[ids] -= sampling.presence_penalty * (counts > 0) + sampling.frequency_penalty * counts
        if len(self._biased):
            if self._biased[-1] >= len(logits):
                raise UsageError(f"logit_bias names token {self._biased[-1]}; the vocabulary has {len(logits)}")
            logits[self._biased] += self._biases
        return logits


def _restrict(logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Logits ``[V]`` with -inf at what is not allowed. Where the model rules out all that is, these are equally likely."""
    if allowed.shape != logits.shape or not allowed.any():
        raise UsageError(
            "no token is allowed"
            if allowed.shape == logits.shape
            else f"a mask of {allowed.shape} can't go with logits of {logits.shape}"
        )
    if np.isneginf(logits[allowed].max()):
        logits = np.zeros_like(logits)
    return np.where(allowed, logits, -np.inf)


def penalize(logits: np.ndarray, seen: Collection[int], penalty: float) -> np.ndarray:
    """Logits ``[V]`` with the repetition penalty on the ids ``seen``."""
    if penalty == 1.0 or not seen:
        return logits
    logits, ids = logits.copy(), np.fromiter(seen, np.int64)
    logits[ids] = np.where(logits[ids] < 0, logits[ids] * penalty, logits[ids] / penalty)
    return logits
