"""Where each parameter of the traced modules comes from: checkpoint tensors, and what is done to them.

Nothing is read here. A :class:`~youtu_onnx.graphs.parameter.Parameter` is a recipe that the weight streamer follows when its turn
comes.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.latent import ByteHeads
from youtu_onnx.families.youtu.graph.rope import attention_scaling, inverse_frequencies
from youtu_onnx.graphs.integers import MIDDLE
from youtu_onnx.graphs.parameter import Parameter


def parameters(architecture: Architecture, form: GraphForm) -> dict[str, Parameter]:
    """All parameters of the model's graph: name in the graph → how to build it."""
    a = architecture
    embedding = (a.vocab_size, a.hidden_size)
    found = {
        "model.embed_tokens.weight": Parameter(("model.embed_tokens.weight",), embedding, _same, "matrix"),
        **_positions(a, form),
        "model.norm.weight": Parameter(("model.norm.weight",), (a.hidden_size,), _same, "vector"),
    }
    for layer in range(a.num_hidden_layers):
        for name, parameter in _Layer(a, form, f"model.layers.{layer}.").parameters().items():
            found[f"model.layers.{layer}.{name}"] = parameter
    head = "model.embed_tokens.weight" if a.tie_word_embeddings else "lm_head.weight"
    found["lm_head.weight"] = Parameter((head,), embedding, _same, "matrix")
    return found


def _positions(a: Architecture, form: GraphForm) -> dict[str, Parameter]:
    """What says where a token is. The CPU's: inverse frequencies. Devices': cos and sin of each position ``[M,R]``, the sines of
    a pair's first half negative; no position is beyond the trained context, so they don't depend on the sequence. A static
    cache has the numbers of its rows besides."""
    if not form.device:
        return {"model.inv_freq": Parameter((), (a.qk_rope_head_dim // 2,), lambda: inverse_frequencies(a), "constant")}
    length = form.cache.length or a.max_position_embeddings

    def table(turn: Callable[[Tensor], Tensor], sign: int) -> Tensor:
        half = turn(torch.outer(torch.arange(length).float(), inverse_frequencies(a))) * attention_scaling(a)
        return torch.cat([half * sign, half], -1)

    shape = (length, a.qk_rope_head_dim)
    found = {
        "model.rope_cos": Parameter((), shape, lambda: table(torch.cos, 1), "vector"),
        "model.rope_sin": Parameter((), shape, lambda: table(torch.sin, -1), "vector"),
    }
    if form.static:
        found["model.slots"] = Parameter((), (length,), lambda: torch.arange(length).float(), "constant")
    return found


class _Layer:
    """Parameters of one layer. Factors that cost nothing at run time are moved from one matrix into another:

    - the softmax scale into the query;
    - integer heads: the scale of each row of W_UK into the row of the query's projection that meets it;
    - a byte cache, whose rows have one scale for both parts: ``kv_a_layernorm``'s gain into W_UK and W_UV, so that the cached
      latent has the root mean square 1; and each pair of rotated dimensions is divided by the size that its weights
      give it for inputs without direction, and the query multiplied.
    """

    def __init__(self, architecture: Architecture, form: GraphForm, prefix: str) -> None:
        self.a, self.form, self.prefix = architecture, form, prefix
        self.found: dict[str, Parameter] = {}

    def add(
        self,
        name: str,
        sources: list[str],
        shape: tuple[int, ...],
        build: Callable[..., Tensor],
        kind: str = "matrix",
        beside: list[str] | None = None,
        shared: Callable[..., Any] | None = None,
    ) -> None:
        names = [tuple(self.prefix + source for source in listed) for listed in (sources, beside or [])]
        self.found[name] = Parameter(names[0], shape, build, kind, names[1], shared)

    def parameters(self) -> dict[str, Parameter]:
        a = self.a
        for norm, width in (("input_layernorm", a.hidden_size), ("post_attention_layernorm", a.hidden_size)):
            self.add(f"{norm}.weight", [f"{norm}.weight"], (width,), _same, "vector")
        self._projections()
        self._heads()
        self.add(
            "self_attn.o_proj.weight", ["self_attn.o_proj.weight"], (a.hidden_size, a.num_attention_heads * a.v_head_dim), _same
        )
        if a.attention_bias:
            self.add("self_attn.o_proj.bias", ["self_attn.o_proj.bias"], (a.hidden_size,), _same, "vector")
        self.add(
            "mlp.gate_up_proj.weight",
            ["mlp.gate_proj.weight", "mlp.up_proj.weight"],
            (2 * a.intermediate_size, a.hidden_size),
            lambda gate, up: torch.cat([gate, up]),
        )
        self.add("mlp.down_proj.weight", ["mlp.down_proj.weight"], (a.hidden_size, a.intermediate_size), _same)
        return self.found

    def _projections(self) -> None:
        a = self.a
        query = a.num_attention_heads * a.qk_head_dim
        head_rows, key_rows = _query_rows(a), _key_rows(a)
        beside = self._beside()
        for_keys = beside[2:]

        def queries(weight: Tensor, *more: Tensor) -> Tensor:
            rows = weight[head_rows].float() * a.softmax_scale
            return rows * self._query_factors(*more).unsqueeze(1) if more else rows

        def keys(kv: Tensor, *more: Tensor) -> Tensor:
            rows = kv[key_rows]
            return rows.float() / self._key_factors(*more[-2:]).view(-1, *[1] * (kv.ndim - 1)) if self.form.byte_cache else rows

        if a.q_lora_rank is None:
            first, first_rows, first_width, for_both = "self_attn.q_proj", queries, query, beside
        else:
            first, first_rows, first_width, for_both = "self_attn.q_a_proj", lambda q, *_: q, a.q_lora_rank, for_keys
            self.add("self_attn.q_a_layernorm.weight", ["self_attn.q_a_layernorm.weight"], (a.q_lora_rank,), _same, "vector")
            self.add("self_attn.q_b_proj.weight", ["self_attn.q_b_proj.weight"], (query, a.q_lora_rank), queries, beside=beside)

        def fuse(q: Tensor, kv: Tensor, *more: Tensor) -> Tensor:
            q, kv = first_rows(q, *more), keys(kv, *more)
            return torch.cat([q.to(kv.dtype), kv] if kv.dtype == torch.float32 else [q, kv.to(q.dtype)])

        kv_a, width = "self_attn.kv_a_proj_with_mqa", first_width + a.latent_dim
        self.add(
            "self_attn.qkv_a_proj.weight", [f"{first}.weight", f"{kv_a}.weight"], (width, a.hidden_size), fuse, beside=for_both
        )
        if a.attention_bias and a.q_lora_rank is None:  # q_proj has no bias in any Youtu checkpoint
            self.add(
                "self_attn.qkv_a_proj.bias",
                [f"{kv_a}.bias"],
                (width,),
                lambda kv, *more: torch.cat([torch.zeros(query), keys(kv, *more).float()]),
                "vector",
                for_keys,
            )
        elif a.attention_bias:
            self.add("self_attn.qkv_a_proj.bias", [f"{first}.bias", f"{kv_a}.bias"], (width,), fuse, "vector", for_keys)
        gain = torch.ones_like if self.form.byte_cache else _same
        self.add("self_attn.kv_a_layernorm.weight", ["self_attn.kv_a_layernorm.weight"], (a.kv_lora_rank,), gain, "vector")

    def _heads(self) -> None:
        a, kv_b, beside = self.a, ["self_attn.kv_b_proj.weight"], self._beside()[1:]
        heads, nope, value, rank = a.num_attention_heads, a.qk_nope_head_dim, a.v_head_dim, a.kv_lora_rank
        stem = "self_attn.heads"
        if self.form.cache.form == "expanded":
            self.add(
                "self_attn.kv_b_proj.weight",
                kv_b,
                (heads * (nope + value), rank),
                lambda w: torch.cat([part.reshape(-1, rank) for part in self._split(w)]),
            )
        elif not self.form.integer_heads:
            self.add(f"{stem}.w_uk", kv_b, (heads, nope, rank), itemgetter(0), "heads", shared=self._split)
            self.add(
                f"{stem}.w_uv", kv_b, (heads, rank, value), lambda parts: parts[1].transpose(1, 2), "heads", shared=self._split
            )
        else:
            parts = ByteHeads.parts(a)
            for name, shape, kind in (
                ("w_uk_q8", (heads, parts, nope, rank // parts), "bytes"),
                ("w_uk_offsets", (heads, 1, rank), "vector"),
                ("w_uk_t_q8", (heads, rank, nope), "bytes"),
                ("w_uv_q8", (heads, rank, value), "bytes"),
                ("w_uv_offsets", (heads, 1, value), "vector"),
                ("w_uv_scales", (heads, 1, value), "vector"),
            ):
                self.add(f"{stem}.{name}", kv_b, shape, itemgetter(name), kind, beside, self._byte_heads)

    def _byte_heads(self, *tensors: Tensor) -> dict[str, Tensor]:
        """What :class:`ByteHeads` has, from one rounding of both matrices."""
        w_uk, w_uv_t = self._split(*tensors)
        uk, uv = row_codes(w_uk), row_codes(w_uv_t).transpose(1, 2)
        heads, nope, rank = uk.shape
        parts = ByteHeads.parts(self.a)
        return {
            "w_uk_q8": uk.view(heads, nope, parts, rank // parts).transpose(1, 2),
            "w_uk_offsets": _offsets(uk),
            "w_uk_t_q8": uk.transpose(1, 2),
            "w_uv_q8": uv,
            "w_uv_offsets": _offsets(uv),
            "w_uv_scales": row_scales(w_uv_t).unsqueeze(1),
        }

    def _beside(self) -> list[str]:
        """What the factors are made of, in the order in which the builders take it: the last two are all that the keys' are."""
        if not self.form.integer_heads:
            return []
        names = ["self_attn.kv_b_proj.weight"]
        if self.form.byte_cache:
            names += ["self_attn.kv_a_layernorm.weight", "self_attn.kv_a_proj_with_mqa.weight", "input_layernorm.weight"]
        return names

    def _split(self, kv_b: Tensor, gain: Tensor | None = None, *_: Tensor) -> tuple[Tensor, Tensor]:
        """W_UK ``[H,N,L]`` and W_UVᵀ ``[H,V,L]``, with the latent's gain where it was moved here."""
        a = self.a
        parts = kv_b.view(a.num_attention_heads, a.qk_nope_head_dim + a.v_head_dim, a.kv_lora_rank)
        if self.form.integer_heads:
            parts = parts.float()
        if gain is not None:
            parts = parts * gain.float()
        return parts.split([a.qk_nope_head_dim, a.v_head_dim], 1)

    def _query_factors(self, kv_b: Tensor, *more: Tensor) -> Tensor:
        """``[H·(N+R)]``, in the order of the graph's query rows."""
        rope = _rope_sizes(self.a, *more[1:]) if more else torch.ones(self.a.qk_rope_head_dim)
        return torch.cat([row_scales(self._split(kv_b, *more)[0]).reshape(-1), rope.repeat(self.a.num_attention_heads)])

    def _key_factors(self, kv_a: Tensor, input_gain: Tensor) -> Tensor:
        """``[L+R]``"""
        return torch.cat([torch.ones(self.a.kv_lora_rank), _rope_sizes(self.a, kv_a, input_gain)])


def row_scales(weight: Tensor) -> Tensor:
    """Scales of int8 rows: ``[…,K]`` → ``[…]`` float32."""
    return weight.float().abs().amax(-1).clamp(min=torch.finfo(torch.float32).tiny * 127) / 127


def row_codes(weight: Tensor) -> Tensor:
    """int8 ``[…,K]`` of rows with :func:`row_scales`."""
    return torch.round(weight / row_scales(weight).unsqueeze(-1)).to(torch.int8)


def _offsets(codes: Tensor) -> Tensor:
    """``[H,K,N]`` → ``[H,1,N]``: what the code of zero adds to a product over K."""
    return MIDDLE * codes.float().sum(1, keepdim=True)


def _rope_sizes(a: Architecture, kv_a: Tensor, input_gain: Tensor) -> Tensor:
    """``[R]`` in the graph's order: root mean squares of k_rope for normalised inputs without direction, by rotated pair.

    Both of a pair share one, so that the rotation commutes with the division. None is so small that it could not be
    divided by.
    """
    rows = kv_a[_key_rows(a)[a.kv_lora_rank :]].float() * input_gain.float()
    squares = rows.square().sum(-1)
    half = a.qk_rope_head_dim // 2
    sizes = ((squares[:half] + squares[half:]) / 2).sqrt()
    return torch.clamp(sizes, min=float(sizes.max()) / 64 or 1.0).repeat(2)


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _rope_order(a: Architecture) -> Tensor:
    """Order of RoPE's dimensions: interleaved pairs (0,1)(2,3)… become halves 0,2,… 1,3,…, as the reference caches them."""
    order = torch.arange(a.qk_rope_head_dim)
    return torch.cat([order[0::2], order[1::2]]) if a.rope_interleave else order


def _query_rows(a: Architecture) -> Tensor:
    """Rows of q_b_proj: every head's nope part, then every head's rope part."""
    rows = torch.arange(a.num_attention_heads * a.qk_head_dim).view(a.num_attention_heads, a.qk_head_dim)
    rope = rows[:, a.qk_nope_head_dim :][:, _rope_order(a)]
    return torch.cat([rows[:, : a.qk_nope_head_dim].reshape(-1), rope.reshape(-1)])


def _key_rows(a: Architecture) -> Tensor:
    """Rows of kv_a_proj_with_mqa: the latent as it is, then the shared rope key in the query's order."""
    return torch.cat([torch.arange(a.kv_lora_rank), a.kv_lora_rank + _rope_order(a)])
