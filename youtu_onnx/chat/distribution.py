"""Probabilities of tokens, from logits."""

from __future__ import annotations

import numpy as np

from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.softmax import softmax


def distribution(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn and their probabilities: temperature, then top_k, top_p and min_p.

    Likeliest first where top_k or top_p leave some out, and of equally likely ones the lower id; else in order of id.
    The tokens are those that sorting all V would find. With top_k or top_p the probabilities are float64's, without
    either float32's.
    """
    ids, probabilities = _cut(logits, sampling)
    if sampling.min_p > 0:
        kept = probabilities >= sampling.min_p * probabilities.max()
        ids, probabilities = ids[kept], probabilities[kept]
        probabilities = probabilities / probabilities.sum(dtype=np.float64)
    return ids, probabilities


def _cut(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """Without min_p."""
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
