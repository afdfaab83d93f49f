"""Choosing the next token from logits: the field's usual knobs, in numpy."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from youtu_onnx.errors import BundleError, UsageError


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Names and order of the steps are transformers'.

    Attributes:
        temperature: divides the logits; 0 is the same as ``greedy``.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the fewest tokens that together have this probability; 1 keeps all.
        seed: of the random numbers; None takes fresh ones.
        greedy: take the likeliest token.
        repetition_penalty: divides the logits of tokens that are in the prompt or reply already (multiplies negative
            ones), after Keskar et al. 2019; 1 does nothing.

    Raises:
        UsageError: a number that can't be.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    greedy: bool = False
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        _require(_is_number(self.temperature) and self.temperature >= 0, "temperature", self.temperature, "a number from 0")
        _require(_is_whole(self.top_k) and self.top_k >= 0, "top_k", self.top_k, "a whole number from 0 (0 keeps all tokens)")
        _require(_is_number(self.top_p) and 0 < self.top_p <= 1, "top_p", self.top_p, "a number above 0, up to 1")
        _require(self.seed is None or (_is_whole(self.seed) and self.seed >= 0), "seed", self.seed, "a whole number from 0")
        _require(isinstance(self.greedy, bool), "greedy", self.greedy, "true or false")
        _require(_is_number(self.repetition_penalty) and self.repetition_penalty > 0, "repetition_penalty",
                 self.repetition_penalty, "a number above 0")

    @property
    def deterministic(self) -> bool:
        return self.greedy or self.temperature == 0

    @classmethod
    def from_generation_config(cls, config: Mapping[str, Any]) -> Sampling:
        """The defaults that a checkpoint's ``generation_config.json`` sets; without ``do_sample`` that is greedy.

        Raises:
            BundleError: the file holds numbers that can't be.
        """
        fields = {name: config[name] for name in ("temperature", "top_k", "top_p", "repetition_penalty")
                  if config.get(name) is not None}
        try:
            return cls(**fields, greedy=not config.get("do_sample", False))
        except UsageError as error:
            raise BundleError(f"generation_config.json: {error.message}", hint="copy or export the bundle again") from error

    def override(self, *, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
                 seed: int | None = None, greedy: bool | None = None) -> Sampling:
        """A copy with what the caller chose. Choosing a temperature, top_k or top_p means to sample.

        Raises:
            UsageError: a number that can't be, or greedy together with what only sampling uses.
        """
        chosen: dict[str, Any] = {name: value for name, value in (("temperature", temperature), ("top_k", top_k),
                                                                  ("top_p", top_p), ("seed", seed)) if value is not None}
        if greedy and chosen and temperature != 0:
            raise UsageError(f"greedy decoding has no use for {', '.join(chosen)}", hint="drop greedy, or what it has no use for")
        if greedy is None and any(name in chosen for name in ("temperature", "top_k", "top_p")):
            greedy = False
        return replace(self, **chosen, greedy=self.greedy if greedy is None else greedy)


class Sampler:
    """Draws tokens; the same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def pick(self, logits: np.ndarray, seen: Collection[int] = ()) -> int:
        """A token id.

        Args:
            logits: ``[V]``.
            seen: ids that the repetition penalty applies to.

        Raises:
            BundleError: the logits are not numbers.
        """
        logits = np.asarray(logits, np.float64)
        if np.isnan(logits).any() or not np.isfinite(logits.max()):
            raise BundleError("the model computed logits that are not numbers",
                              hint="check the bundle with youtu-onnx verify")
        logits = penalize(logits, seen, self.sampling.repetition_penalty)
        if self.sampling.deterministic:
            return int(logits.argmax())
        ids, probabilities = distribution(logits, self.sampling)
        # The cumulated sum may end just below 1: the last token stands for that remainder.
        return int(ids[min(np.searchsorted(np.cumsum(probabilities), self._random.random(), side="right"), len(ids) - 1)])


def penalize(logits: np.ndarray, seen: Collection[int], penalty: float) -> np.ndarray:
    """Logits ``[V]`` with the repetition penalty on the ids ``seen``."""
    if penalty == 1.0 or not seen:
        return logits
    logits, ids = logits.copy(), np.fromiter(seen, np.int64)
    logits[ids] = np.where(logits[ids] < 0, logits[ids] * penalty, logits[ids] / penalty)
    return logits


def distribution(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn and their probabilities, likeliest first: temperature, then top_k, then top_p."""
    scaled = logits / sampling.temperature
    count = min(sampling.top_k or len(scaled), len(scaled))
    ids = np.argpartition(-scaled, count - 1)[:count] if count < len(scaled) else np.arange(len(scaled))
    ids = ids[np.argsort(-scaled[ids], kind="stable")]
    probabilities = softmax(scaled[ids])
    if sampling.top_p < 1:
        # a token stays if those before it fall short of top_p, so the first one always does
        kept = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
        ids, probabilities = ids[:kept], probabilities[:kept]
        probabilities = probabilities / probabilities.sum()
    return ids, probabilities


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, shifted by the maximum so that no exponential overflows."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise UsageError(f"{name} is {value!r}; expected {expected}")
