"""Multi-head latent attention in float64, in the expanded order: each head's keys and values are made from the latent.

From the full formulas of MLA in DeepSeek-V2 (https://arxiv.org/abs/2405.04434, appendix C), without the low rank of queries,
which is another operator's: ``k_nope = W_UK c``, ``v = W_UV c``, scores ``q_nope · k_nope + q_rope · k_rope``, causal. Queries
have the softmax's scale already.

Shapes: B sequences, S new tokens, P past ones, T = P + S; H heads, N nope, R rope, L rank, V value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.native.sessions import model

INPUTS = ("q", "kv", "cos", "sin", "mask", "past", "gain", "uk", "uk_offsets", "uv", "uv_offsets", "uv_scales")
Array = np.ndarray[Any, Any]
Round = Callable[[Array], Array]


def exact(x: Array) -> Array:
    return x


def to_bytes(x: Array) -> Array:
    """Numbers that share a scale along the last axis, to 127 of its steps: what integer products are given."""
    step = np.abs(x).max(-1, keepdims=True) / 127
    rounded: Array = np.rint(x / np.where(step > 0, step, 1)) * step
    return rounded


@dataclass(frozen=True)
class Rounding:
    """What a kernel does to numbers on the way.

    Attributes:
        of_queries: to a head's q_nope.
        of_absorbed: to a head's query in the latent, ``q_nope W_UK`` and q_rope side by side; None: scores are of keys.
        of_latents: to a row's latent.
        of_contexts: to a head's sum of latents.
    """

    of_queries: Round = exact
    of_absorbed: Round | None = None
    of_latents: Round = exact
    of_contexts: Round = exact


NONE = Rounding()


@dataclass(frozen=True)
class Sizes:
    heads: int
    nope: int
    rope: int
    rank: int
    value: int
    part: int
    offset: int = 0

    @property
    def width(self) -> int:
        """Of a row."""
        return self.rank + self.rope


@dataclass(frozen=True)
class Step:
    """What a run is given, but for the cache.

    Shapes: q ``[B,S,H·(N+R)]``, kv ``[B,S,offset+L+R]``, cos and sin ``[B,S,R/2]``, mask ``[B,T]``; q and kv may be wider.
    """

    q: Array
    kv: Array
    cos: Array
    sin: Array
    mask: Array

    @property
    def tokens(self) -> int:
        return int(self.q.shape[1])

    def feed(self, past: Array) -> dict[str, Array]:
        return {"q": self.q, "kv": self.kv, "cos": self.cos, "sin": self.sin, "mask": self.mask, "past": past}

    def between(self, first: int, last: int) -> Step:
        """Some of the tokens, over those before them."""
        q, kv, cos, sin = (one[:, first:last] for one in (self.q, self.kv, self.cos, self.sin))
        return Step(q, kv, cos, sin, self.mask[:, : self.mask.shape[1] - self.tokens + last])


class Attention:
    """A layer with random weights, of sizes that keep scores and values near one.

    Attributes:
        kind: of a row's numbers: float32, float16 or uint8.
        uk: ``[H,L,N]``, integers.
        uv: ``[H,L,V]``, integers, with uv_scales ``[H,V]``.
    """

    def __init__(self, sizes: Sizes, kind: type = np.float32, seed: int = 0) -> None:
        self.sizes, self.kind, self.epsilon = sizes, kind, 1e-6
        generator = np.random.default_rng(seed)
        heads, rank = sizes.heads, sizes.rank
        self.gain = generator.uniform(0.5, 1.5, rank).astype(np.float32)
        self.uk = generator.integers(-127, 128, (heads, rank, sizes.nope), np.int8)
        self.uv = generator.integers(-127, 128, (heads, rank, sizes.value), np.int8)
        self.uv_scales = (generator.uniform(0.5, 1.5, (heads, sizes.value)) / 73 / rank**0.5).astype(np.float32)

    @property
    def in_bytes(self) -> bool:
        return self.kind is np.uint8

    @property
    def _rows(self) -> str:
        """How an operator over rows of a kind is called."""
        return {np.float32: "", np.float16: "Half", np.uint8: "Byte"}[self.kind] + "LatentAttention"

    def model(self) -> bytes:
        variable = dict.fromkeys(("q", "kv", "cos", "sin"), (np.float32, 3)) | {"mask": (np.int64, 2), "past": (self.kind, 4)}
        outputs = {"context": np.float32, "present": self.kind}
        return model(self._rows, INPUTS, outputs, self._constants(), variable, self._attributes())

    def batch_model(self, slots: int) -> bytes:
        """Of the operator over several caches: those of slots, and the chunk's behind them."""
        variable: dict[str, tuple[type, int]] = dict.fromkeys(("q", "kv", "cos", "sin"), (np.float32, 3))
        variable |= {"slot_tokens": (np.int64, 1), "chunk_mask": (np.int64, 2)}
        pasts = [f"past{lane}" for lane in range(slots + 1)]
        outputs: dict[str, type] = {"context": np.float32} | {f"present{lane}": self.kind for lane in range(slots + 1)}
        inputs = [*variable, *INPUTS[6:], *pasts]
        variable |= dict.fromkeys(pasts, (self.kind, 4))
        return model(f"Batch{self._rows}", inputs, outputs, self._constants(), variable, self._attributes())

    def _attributes(self) -> dict[str, float]:
        names = ("heads", "nope", "rope", "rank", "value", "part", "offset")
        return {name: getattr(self.sizes, name) for name in names} | {"epsilon": self.epsilon}

    def _constants(self) -> dict[str, Array]:
        s = self.sizes
        return {
            "gain": self.gain,
            "uk": self.uk.reshape(s.heads, s.rank // s.part, s.part, s.nope).swapaxes(2, 3),
            "uk_offsets": 128 * self.uk.sum(2, dtype=np.float32),
            "uv": self.uv,
            "uv_offsets": 128 * self.uv.sum(1, dtype=np.float32),
            "uv_scales": self.uv_scales,
        }

    def step(self, tokens: int, past: int, batch: int = 1, seed: int = 0) -> Step:
        """Random, with columns behind those that count."""
        s, generator = self.sizes, np.random.default_rng(seed + 1000 * tokens + past)
        # A head's largest is 127 steps, and none is near the middle between two: where they are rounded, there is no choice.
        steps = generator.integers(-126, 127, (batch, tokens, s.heads, s.nope)) + generator.uniform(-0.4, 0.4, s.nope)
        steps[..., generator.integers(s.nope)] = 127
        nope = steps.reshape(batch, tokens, s.heads * s.nope) * 2 / (s.nope * s.rank) ** 0.5 / 73 / 73
        rope = generator.standard_normal((batch, tokens, s.heads * s.rope)) * 2 / s.rank**0.5
        latents = generator.standard_normal((batch, tokens, s.offset + s.width + 3))
        angles = generator.uniform(0, 6.28, (batch, tokens, s.rope // 2))
        both = np.concatenate([nope, rope, nope[..., :2]], -1)
        q, kv, cos, sin = (one.astype(np.float32) for one in (both, latents, np.cos(angles), np.sin(angles)))
        return Step(q, kv, cos, sin, np.ones((batch, past + tokens), np.int64))

    def past(self, count: int, batch: int = 1, seed: int = 0) -> Array:
        """Rows as other steps could have left them, ``[B,1,P,L+R]``."""
        rows = np.random.default_rng(seed + count).standard_normal((batch, 1, count, self.sizes.width))
        if not self.in_bytes:
            return rows.astype(self.kind)
        from tests.byte_rows import encode

        return encode(rows)

    def rows(self, step: Step) -> Array:
        """New tokens' rows before they are rounded, ``[B,S,L+R]``."""
        s = self.sizes
        c = step.kv[..., s.offset : s.offset + s.rank].astype(np.float64)
        c = c / np.sqrt(np.mean(c**2, -1, keepdims=True) + self.epsilon) * self.gain
        return np.concatenate([c, rotate(step.kv[..., s.offset + s.rank :][..., : s.rope], step.cos, step.sin)], -1)

    def context(self, step: Step, rows: Array, rounding: Rounding = NONE) -> Array:
        """``[B,S,H·V]``, over all rows ``[B,T,L+R]`` in float64. A query that sees nothing has a context of zeros."""
        s, batch, tokens = self.sizes, len(rows), step.tokens
        cut = s.heads * s.nope
        q_nope = rounding.of_queries(step.q[..., :cut].reshape(batch, tokens, s.heads, s.nope).astype(np.float64))
        q_rope = step.q[..., cut : cut + s.heads * s.rope].reshape(batch, tokens, s.heads, s.rope)
        q_rope = rotate(q_rope, step.cos[:, :, None], step.sin[:, :, None])
        c, k_rope = rounding.of_latents(rows[..., : s.rank]), rows[..., s.rank :]
        if rounding.of_absorbed is None:
            k_nope = np.einsum("btl,hln->bthn", c, self.uk.astype(np.float64), optimize=True)
            scores = np.einsum("bshn,bthn->bhst", q_nope, k_nope, optimize=True)
            scores = scores + np.einsum("bshr,btr->bhst", q_rope, k_rope, optimize=True)
        else:
            absorbed = np.einsum("bshn,hln->bshl", q_nope, self.uk.astype(np.float64), optimize=True)
            query = rounding.of_absorbed(np.concatenate([absorbed, q_rope], -1))
            scores = np.einsum("bshw,btw->bhst", query, rows, optimize=True)
        total = rows.shape[1]
        seen = np.arange(total) <= np.arange(total - tokens, total)[:, None]  # [S,T]
        seen = seen[None, None] & (step.mask != 0)[:, None, None]
        scores = np.where(seen, scores, -np.inf)
        most = scores.max(-1, keepdims=True, initial=-np.inf)
        weights = np.where(seen, np.exp(scores - np.where(np.isfinite(most), most, 0)), 0)
        weights = weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300)
        sums = rounding.of_contexts(np.einsum("bhst,btl->bshl", weights, c, optimize=True))
        values = np.einsum("bshl,hlv->bshv", sums, self.uv.astype(np.float64), optimize=True) * self.uv_scales
        context: Array = values.reshape(batch, tokens, -1)
        return context


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Column i with column i + R/2."""
    a, b = np.split(x.astype(np.float64), 2, -1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
