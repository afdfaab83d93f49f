"""Choosing the next token from logits: the field's usual knobs, in numpy."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from youtu_onnx.core.errors import BundleError, UsageError


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
        presence_penalty: taken from the logits of tokens that are in the reply already, as OpenAI's API defines it; 0: nothing.
        frequency_penalty: the same, times how often they are there.
        logit_bias: added to the logits of single tokens. A mapping, kept as pairs in order of the ids.

    Raises:
        UsageError: a number that can't be.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    greedy: bool = False
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] | tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        _require(_is_number(self.temperature) and self.temperature >= 0, "temperature", self.temperature, "a number from 0")
        _require(_is_whole(self.top_k) and self.top_k >= 0, "top_k", self.top_k, "a whole number from 0 (0 keeps all tokens)")
        _require(_is_number(self.top_p) and 0 < self.top_p <= 1, "top_p", self.top_p, "a number above 0, up to 1")
        _require(self.seed is None or (_is_whole(self.seed) and self.seed >= 0), "seed", self.seed, "a whole number from 0")
        _require(isinstance(self.greedy, bool), "greedy", self.greedy, "true or false")
        _require(
            _is_number(self.repetition_penalty) and self.repetition_penalty > 0,
            "repetition_penalty",
            self.repetition_penalty,
            "a number above 0",
        )
        for name in ("presence_penalty", "frequency_penalty"):
            _require(_is_number(getattr(self, name)), name, getattr(self, name), "a number")
        pairs = _pairs(self.logit_bias)
        _require(
            all(_is_whole(id_) and id_ >= 0 and _is_number(bias) for id_, bias in pairs),
            "logit_bias",
            self.logit_bias,
            "numbers by token id",
        )
        object.__setattr__(self, "logit_bias", tuple(sorted(dict(pairs).items())))

    @property
    def deterministic(self) -> bool:
        return self.greedy or self.temperature == 0

    @classmethod
    def from_generation_config(cls, config: Mapping[str, Any]) -> Sampling:
        """The defaults that a checkpoint's ``generation_config.json`` sets; without ``do_sample`` that is greedy.

        Raises:
            BundleError: the file holds numbers that can't be.
        """
        fields = {
            name: config[name] for name in ("temperature", "top_k", "top_p", "repetition_penalty") if config.get(name) is not None
        }
        try:
            return cls(**fields, greedy=not config.get("do_sample", False))
        except UsageError as error:
            raise BundleError(f"generation_config.json: {error.message}", hint="copy or export the bundle again") from error

    def override(
        self,
        *,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        greedy: bool | None = None,
    ) -> Sampling:
        """A copy with what the caller chose. Choosing a temperature, top_k or top_p means to sample.

        Raises:
            UsageError: a number that can't be, or greedy together with what only sampling uses.
        """
        chosen: dict[str, Any] = {
            name: value
            for name, value in (("temperature", temperature), ("top_k", top_k), ("top_p", top_p), ("seed", seed))
            if value is not None
        }
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
        biases = _pairs(sampling.logit_bias)
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


def distribution(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn and their probabilities: temperature, then top_k, then top_p.

    Likeliest first where top_k or top_p leave some out, and of equally likely ones the lower id; else in order of id.
    The tokens are those that sorting all V would find. With top_k or top_p the probabilities are float64's, without
    either float32's.
    """
    if not 0 < sampling.top_k < len(logits):
        scaled = _scaled(logits, logits.max(), sampling.temperature)
        if sampling.top_p < 1:
            return _nucleus(scaled, sampling.top_p)
        weights = np.exp(scaled.astype(np.float32))
        return np.arange(len(logits)), weights / weights.sum(dtype=np.float64)
    ids = likeliest(logits, sampling.top_k)
    probabilities = softmax(_scaled(logits[ids], logits[ids[0]], sampling.temperature))
    if sampling.top_p < 1:
        # a token stays if those before it fall short of top_p, so the first one always does
        kept = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
        ids, probabilities = ids[:kept], probabilities[:kept]
        probabilities = probabilities / probabilities.sum()
    return ids, probabilities


_IMPOSSIBLE = -1000.0
"""A difference of logits whose exponential is 0 in float64, and that float32 can hold."""


def _scaled(logits: np.ndarray, largest: np.float64, temperature: float) -> np.ndarray:
    """Differences from the largest logit, by the temperature. In place after the first step: fresh pages cost more than sums."""
    scaled = logits - largest
    with np.errstate(over="ignore"):  # a tiny temperature makes all but the likeliest token impossible
        scaled /= temperature
    return np.maximum(scaled, _IMPOSSIBLE, out=scaled)


_BLOCK = 256
"""Logits whose maximum is taken at once when looking for the largest."""


def likeliest(logits: np.ndarray, count: int) -> np.ndarray:
    """The ids of the ``count`` largest, largest first and lower ids first among equals.

    At least ``count`` logits reach the ``count``-th largest of all blocks' maxima, so only those need sorting: a tenth of
    what a partition of all V takes.
    """
    whole = len(logits) // _BLOCK * _BLOCK
    maxima = logits[:whole].reshape(-1, _BLOCK).max(axis=1) if whole else logits[:0]
    among = maxima if count <= len(maxima) // 4 else logits
    ids = np.flatnonzero(logits >= np.partition(among, len(among) - count)[len(among) - count])
    return ids[np.argsort(-logits[ids], kind="stable")][:count]


_FLOAT32_ERROR = 1e-4
"""More than the relative error of a sum of float32 exponentials of differences, each rounded to float32."""


def _nucleus(scaled: np.ndarray, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """The fewest likeliest tokens that together have the probability ``top_p``.

    Only those above a weight are sorted, the highest of a few weights above which they suffice. Float32 exponentials are
    twenty times quicker and give the sum of all; where their error could move the boundary, float64 ones do.
    """
    weights = np.exp(scaled.astype(np.float32))
    total = float(weights.sum(dtype=np.float64))
    for weight in (1e-2, 1e-3, 1e-4, 1e-5, 0.0):
        ids = np.flatnonzero(weights >= weight)
        if weights[ids].sum(dtype=np.float64) >= top_p * total * (1 + _FLOAT32_ERROR):
            break
    ids = ids[np.argsort(-scaled[ids], kind="stable")]
    exact = np.exp(scaled[ids])
    cumulated = np.cumsum(exact)
    low, high = np.searchsorted(cumulated, top_p * total * np.array([1 - _FLOAT32_ERROR, 1 + _FLOAT32_ERROR]))
    if low != high:
        low = np.searchsorted(cumulated, top_p * np.exp(scaled).sum())
    kept = min(int(low) + 1, len(ids))
    return ids[:kept], exact[:kept] / cumulated[kept - 1]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, shifted by the maximum so that no exponential overflows."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Natural logarithms of :func:`softmax` over the last axis, in the logits' dtype; finite also where softmax rounds to 0."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logarithms: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithms


def _pairs(biases: Mapping[int, float] | tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    return tuple(biases.items()) if isinstance(biases, Mapping) else biases


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise UsageError(f"{name} is {value!r}; expected {expected}")
