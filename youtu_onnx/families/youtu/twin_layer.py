"""One layer of a bundle, undone: from what the data file stores to what the checkpoint has. See ``twin.py`` for the shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.moved_factors import Evidence, beside_columns, between, given_away, moved_factors
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.graphs.rounded import Floats, Rounded
from youtu_onnx.graphs.stored import StoredGraph

Indices = NDArray[np.int64]
KV_A, KV_B = "self_attn.kv_a_proj_with_mqa.weight", "self_attn.kv_b_proj.weight"
MIDDLE = 128
"""The code of zero in activations that are bytes."""
INPUT_NORM, QUERY_NORM, POST_NORM = (
    f"{name}.weight" for name in ("input_layernorm", "self_attn.q_a_layernorm", "post_attention_layernorm")
)
QUERY, OUTPUT = "self_attn.q_b_proj.weight", "self_attn.o_proj.weight"
GATE, UP, DOWN = (f"mlp.{name}_proj.weight" for name in ("gate", "up", "down"))
BEHIND = {
    INPUT_NORM: ("self_attn.q_a_proj.weight", "self_attn.q_proj.weight", KV_A),
    QUERY_NORM: (QUERY,),
    POST_NORM: (GATE, UP),
}
"""What is multiplied with a norm's result: its columns may have factors that the norm was divided by."""


@dataclass(frozen=True)
class TwinNumbers:
    """What the reference makes of the checkpoint's configuration.

    Attributes:
        softmax_scale: on scores.
        inverse_frequencies: of rotations, float32 ``[R/2]``.
        rotation_scale: on cos and sin.
        interleaved: whether dimensions 2i and 2i + 1 rotate together, and not i and i + R/2.
    """

    softmax_scale: float
    inverse_frequencies: Floats
    rotation_scale: float
    interleaved: bool


@dataclass(frozen=True)
class Undone:
    """One tensor.

    Attributes:
        name: the checkpoint's, without the layer; or the graph's, of what only repeats others.
        found: rows that should be ``wanted()``.
        wanted: reads the checkpoint.
        tensor: what the bundle computes with in the checkpoint's place; None where it has none.
    """

    name: str
    found: Rounded
    wanted: Callable[[], Floats]
    tensor: Floats | None


class TwinLayer:
    def __init__(
        self,
        stored: StoredGraph,
        checkpoint: Checkpoint,
        numbers: TwinNumbers,
        index: int,
        *,
        byte_cache: bool,
        rescaled: bool,
    ) -> None:
        """``byte_cache``: a row of the cache has one scale, so the sizes of its channels were moved into weights. ``rescaled``:
        channels of inputs may have been divided, and columns behind them multiplied."""
        self.stored, self.checkpoint, self.numbers = stored, checkpoint, numbers
        self.byte_cache, self.rescaled = byte_cache, rescaled
        self.prefix = f"model.layers.{index}."
        self.a = cast(Architecture, checkpoint.architecture)

        self.columns: dict[str, Floats] = {}
        """By name of a matrix, what its columns were multiplied by, ``[K]``."""
        for norm, behind in BEHIND.items() if rescaled else ():
            if f"{self.prefix}{norm}" in checkpoint.tensors:
                self.columns |= dict.fromkeys(behind, given_away(self.column(norm), self.read(norm)))

    def undone(self) -> Iterator[Undone]:
        a = self.a
        output = self.matrix("self_attn.o_proj")
        yield from self.attention(output)
        yield self.same(OUTPUT, output)
        if a.attention_bias:
            yield self.same("self_attn.o_proj.bias", self.column("self_attn.o_proj.bias"))
        both, down = self.matrix("mlp.gate_up_proj"), self.matrix("mlp.down_proj")
        gate, up = both.rows(slice(0, a.intermediate_size)), both.rows(slice(a.intermediate_size, None))
        if self.rescaled:
            up = up.times(self.between(self.wanted(UP), up, DOWN, down))
        yield self.norm(POST_NORM, gate, GATE)
        for name, found in ((GATE, gate), (UP, up), (DOWN, down)):
            yield self.same(name, found)

    def norm(self, name: str, behind: Rounded, *names: str) -> Undone:
        """A norm of hidden states; ``behind``: rows of the matrices of these names, which are multiplied with it."""
        found, gain = self.column(name), self.read(name)
        if not self.rescaled or (self.columns[names[0]] == 1).all():
            return self.same(name, found)
        exact = np.concatenate([self.read(one) for one in names])[: len(behind)]
        return Undone(name, *_beside(found, gain, behind, exact), gain)

    def attention(self, output: Rounded) -> Iterator[Undone]:
        """``output``: of the heads, what ``o_proj`` is stored as."""
        a, wide = self.a, self.a.q_lora_rank is None
        heads, nope, rope = a.num_attention_heads, a.qk_nope_head_dim, a.qk_rope_head_dim
        first = a.q_lora_rank or heads * a.qk_head_dim
        projection = self.matrix("self_attn.qkv_a_proj")
        own_query = "self_attn.q_proj.weight" if wide else QUERY
        query = projection.rows(slice(0, first)) if wide else self.matrix("self_attn.q_b_proj")
        query = query.rows(self.query_places()).times(np.full(len(query), 1 / self.numbers.softmax_scale, np.float32))
        latent, keys = projection.rows(slice(first, first + a.kv_lora_rank)), projection.rows(slice(-rope, None))
        if wide:
            yield self.norm(INPUT_NORM, latent, KV_A)
        else:
            yield self.norm(INPUT_NORM, projection.rows(slice(0, first + a.kv_lora_rank)), "self_attn.q_a_proj.weight", KV_A)
        keys = keys.rows(self.pairs_apart(np.arange(rope)))
        bias = self.column("self_attn.qkv_a_proj.bias") if a.attention_bias else None
        key_bias = bias.rows(slice(-rope, None)).rows(self.pairs_apart(np.arange(rope))) if bias is not None else None

        uk, uv = self.heads()
        true_query = self.wanted(own_query).reshape(heads, nope + rope, -1)
        by_half = self.gained().reshape(heads, -1, a.kv_lora_rank)
        true_uk, true_uv = (half.reshape(-1, a.kv_lora_rank) for half in (by_half[:, :nope], by_half[:, nope:]))
        if self.rescaled:
            uv = uv.times(self.between(true_uv, uv, OUTPUT, output))
        by_head = query.values.reshape(heads, nope + rope, -1)
        of_nope: Floats = np.ones(heads * nope, np.float32)
        of_rope: Floats = np.ones(rope, np.float32)
        if self.integer_heads:
            of_nope = self.nope_factors(by_head[:, :nope], true_query[:, :nope], uk, true_uk)
        if self.byte_cache:
            of_rope = self.rope_factors(by_head[:, nope:], true_query[:, nope:], keys, key_bias)

        factors: Floats = np.concatenate([of_nope.reshape(heads, nope), np.tile(of_rope, (heads, 1))], 1).reshape(-1)
        query = query.times(np.reciprocal(factors))
        never = np.zeros((heads, nope + rope), bool)
        never[:, :nope] = ~true_uk.any(1).reshape(heads, nope)  # rows that are multiplied by zeros may be anything
        query = query.with_rows(never.reshape(-1), true_query.reshape(len(query), -1)[never.reshape(-1)])
        yield self.same(own_query, query)
        if not wide:
            yield self.same("self_attn.q_a_proj.weight", projection.rows(slice(0, first)))
            yield self.norm(QUERY_NORM, query, QUERY)
        yield self.same(KV_A, latent.above(keys.times(of_rope)))
        if bias is not None and key_bias is not None:
            of_query, of_latent = bias.rows(slice(0, first)), bias.rows(slice(first, first + a.kv_lora_rank))
            if wide:  # stored for the graph's sake, and nothing
                yield _repeats("self_attn.q_proj.bias", of_query, np.zeros_like(of_query.values))
            else:
                yield self.same("self_attn.q_a_proj.bias", of_query)
            yield self.same("self_attn.kv_a_proj_with_mqa.bias", of_latent.above(key_bias.times(of_rope)))
        yield from self.latent(uk.times(of_nope), uv)

    def latent(self, uk: Rounded, uv: Rounded) -> Iterator[Undone]:
        """What stands between a token's latent and the heads' keys and values."""
        a, gain, name = self.a, self.gain(), "self_attn.kv_a_layernorm.weight"
        heads, nope, value = a.num_attention_heads, a.qk_nope_head_dim, a.v_head_dim
        norm = self.column(name)
        places = [np.arange(heads * nope).reshape(heads, nope), heads * nope + np.arange(heads * value).reshape(heads, value)]
        both = uk.above(uv).rows(np.concatenate(places, 1).reshape(-1))
        own = both.values
        if self.byte_cache:
            with np.errstate(divide="ignore", invalid="ignore"):
                own = np.where(gain == 0, self.read(KV_B), own * (norm.values[:, 0] / gain))
        yield Undone(KV_B, both, self.gained, own)
        if self.byte_cache:
            yield Undone(name, *_beside(norm, gain, both, self.read(KV_B)), gain)
        else:
            yield self.same(name, norm)
        if self.integer_heads:
            yield from self.repeated()

    # What is stored

    def matrix(self, name: str) -> Rounded:
        return self.stored.matrix(f"{self.prefix}{name}.weight").rows()

    def column(self, name: str) -> Rounded:
        """A vector as rows of one number."""
        return Rounded.floats(self.stored.array(self.prefix + name).reshape(-1))

    @property
    def integer_heads(self) -> bool:
        return self.stored.has(f"{self.prefix}self_attn.heads.w_uk_q8")

    def heads(self) -> tuple[Rounded, Rounded]:
        """W_UK ``[H·N,L]`` and W_UVᵀ ``[H·V,L]``; W_UK's codes count as they are, for their scales are in the query."""
        a, stem = self.a, f"{self.prefix}self_attn.heads"
        rank, nopes = a.kv_lora_rank, a.num_attention_heads * a.qk_nope_head_dim
        if self.integer_heads:
            values = self.stored.array(f"{stem}.w_uv_q8").swapaxes(1, 2).reshape(-1, rank)
            scales = self.stored.array(f"{stem}.w_uv_scales").astype(np.float32).reshape(-1)
            return Rounded.codes(self.uk_codes()), Rounded.codes(values).times(scales)
        if self.stored.has(f"{stem}.w_uk"):
            uk, uv = self.stored.array(f"{stem}.w_uk"), self.stored.array(f"{stem}.w_uv").swapaxes(1, 2)
            return Rounded.floats(uk.reshape(-1, rank)), Rounded.floats(uv.reshape(-1, rank))
        both = self.matrix("self_attn.kv_b_proj")  # every head's nope rows, then every head's value rows
        return both.rows(slice(0, nopes)), both.rows(slice(nopes, None))

    def uk_codes(self) -> NDArray[np.int8]:
        """``[H·N,L]`` of ``[H,parts,N,L/parts]``."""
        found: NDArray[np.int8] = self.stored.array(f"{self.prefix}self_attn.heads.w_uk_q8").swapaxes(1, 2)
        return found.reshape(-1, self.a.kv_lora_rank)

    def repeated(self) -> Iterator[Undone]:
        """What an integer graph stores a second time, or in sums: exactly the codes that it repeats."""
        a, stem = self.a, "self_attn.heads"
        heads, nope = a.num_attention_heads, a.qk_nope_head_dim
        codes = self.uk_codes().astype(np.float32)
        if self.stored.has(f"{self.prefix}{stem}.w_uk_t_q8"):  # of bundles that were made before long steps turned W_UK around
            again = self.stored.array(f"{self.prefix}{stem}.w_uk_t_q8").swapaxes(1, 2).reshape(codes.shape)
            yield _repeats(f"{stem}.w_uk_t_q8", Rounded.floats(again.astype(np.float32)), codes)
        values = self.stored.array(f"{self.prefix}{stem}.w_uv_q8").astype(np.float32)
        for name, of in (("w_uk_offsets", codes.reshape(heads, nope, -1)), ("w_uv_offsets", values)):
            yield _repeats(f"{stem}.{name}", self.column(f"{stem}.{name}"), MIDDLE * of.sum(1).reshape(-1, 1))

    # Where rows belong

    def pairs_apart(self, places: Indices) -> Indices:
        """Stored halves ``[…,R]``, of which i and i + R/2 rotate together, in the checkpoint's order."""
        halves = places.reshape(*places.shape[:-1], 2, -1)
        return (halves.swapaxes(-1, -2) if self.numbers.interleaved else halves).reshape(places.shape)

    def pairs_together(self, rows: Floats) -> Floats:
        """``[…,R,K]`` in the checkpoint's order → ``[R/2, …·2·K]``: what one angle turns."""
        halves = rows.reshape(*rows.shape[:-2], *((-1, 2) if self.numbers.interleaved else (2, -1)), rows.shape[-1])
        pairs = np.moveaxis(halves, -3 if self.numbers.interleaved else -2, 0)
        return pairs.reshape(len(pairs), -1)

    def query_places(self) -> Indices:
        """Of the checkpoint's rows, by head and in it nope and rope: every head's nope part is stored before every rope part."""
        a = self.a
        heads, nope, rope = a.num_attention_heads, a.qk_nope_head_dim, a.qk_rope_head_dim
        ropes = self.pairs_apart(heads * nope + np.arange(heads * rope).reshape(heads, rope))
        return np.concatenate([np.arange(heads * nope).reshape(heads, nope), ropes], 1).reshape(-1)

    # Factors

    def nope_factors(self, query: Floats, true_query: Floats, uk: Rounded, true_uk: Floats) -> Floats:
        """``[H·N]``: what W_UK's codes are to be multiplied by, which the query's rows were."""
        stored, exact = query.reshape(len(true_uk), -1), true_query.reshape(len(true_uk), -1)
        return moved_factors([Evidence(true_uk, uk.values, true_uk), Evidence(stored, exact, exact)])

    def rope_factors(self, query: Floats, true_query: Floats, keys: Rounded, bias: Rounded | None) -> Floats:
        """``[R]`` in the checkpoint's order, one for both of a pair: what the keys were divided by and the query multiplied."""
        true_keys = self.pairs_together(self.wanted(KV_A)[-self.a.qk_rope_head_dim :])
        exact = self.pairs_together(true_query)
        evidence = [
            Evidence(true_keys, self.pairs_together(keys.values), true_keys),
            Evidence(self.pairs_together(query), exact, exact),
        ]
        if bias is not None:
            true_bias = self.read("self_attn.kv_a_proj_with_mqa.bias").reshape(-1, 1)
            true_bias = self.pairs_together(true_bias[-self.a.qk_rope_head_dim :])
            evidence.append(Evidence(true_bias, self.pairs_together(bias.values), true_bias))
        pairs = moved_factors(evidence)
        return np.repeat(pairs, 2) if self.numbers.interleaved else np.tile(pairs, 2)

    def between(self, exact: Floats, rows: Rounded, name: str, behind: Rounded) -> Floats:
        """``[K]``: what rows ``[K,…]`` were divided by and columns of the matrix ``name`` ``[N,K]`` multiplied."""
        self.columns[name] = between(exact, rows, self.read(name), behind)
        return self.columns[name]

    # The checkpoint

    def read(self, name: str) -> Floats:
        found: Floats = self.checkpoint.tensor(self.prefix + name).float().numpy()
        return found

    def gain(self) -> Floats:
        """Of ``kv_a_layernorm``, ``[L]``."""
        return self.read("self_attn.kv_a_layernorm.weight")

    def gained(self) -> Floats:
        """kv_b_proj ``[H·(N+V),L]``. Where the cached latent has sizes of its own, times the gain of ``kv_a_layernorm`` and over
        what is stored in its place; infinite where that is zero and a channel is read."""
        weight = self.read(KV_B)
        if not self.byte_cache:
            return weight
        exact, stored = weight * self.gain(), self.column("self_attn.kv_a_layernorm.weight").values[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(exact == 0, 0, exact / stored)

    def wanted(self, name: str) -> Floats:
        """With what its columns were multiplied by."""
        read = self.read(name)
        return read * self.columns[name] if name in self.columns else read

    def same(self, name: str, found: Rounded) -> Undone:
        values = found.values / self.columns[name] if name in self.columns else found.values
        return Undone(name, found, lambda: self.wanted(name).reshape(found.values.shape), values)


def _beside(norm: Rounded, gain: Floats, columns: Rounded, exact: Floats) -> tuple[Rounded, Callable[[], Floats]]:
    found, wanted = beside_columns(norm, gain, [columns], exact)
    return found, lambda: wanted


def _repeats(name: str, found: Rounded, wanted: Floats) -> Undone:
    """Something that the checkpoint has not."""
    return Undone(name, found, lambda: wanted, None)
