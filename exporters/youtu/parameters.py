"""Where each parameter of the traced modules comes from: checkpoint tensors, and what is done to them.

Nothing is read here. A :class:`Parameter` is a recipe that the weight streamer follows when its turn comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from exporters.youtu.rope import inverse_frequencies
from youtu_onnx.architecture import Architecture
from youtu_onnx.cache import CacheForm


@dataclass(frozen=True)
class Parameter:
    """One parameter of the graph.

    Attributes:
        tensors: names in the checkpoint, in the order in which ``build`` takes them.
        shape: of the result.
        build: from the tensors, in their stored dtype or float32, to the parameter.
        kind: ``matrix`` [N,K] is quantized by the recipe; ``absorbed`` [H,K,N] has its own storage; ``vector`` (norms
            and biases) stays float; ``constant`` stays float32.
    """

    tensors: tuple[str, ...]
    shape: tuple[int, ...]
    build: Callable[..., Tensor]
    kind: str


def parameters(architecture: Architecture, form: CacheForm) -> dict[str, Parameter]:
    """All parameters of the model's graph: name in the graph → how to build it."""
    a = architecture
    embedding = (a.vocab_size, a.hidden_size)
    found = {
        "model.embed_tokens.weight": Parameter(("model.embed_tokens.weight",), embedding, _same, "matrix"),
        "model.inv_freq": Parameter((), (a.qk_rope_head_dim // 2,), lambda: inverse_frequencies(a), "constant"),
        "model.norm.weight": Parameter(("model.norm.weight",), (a.hidden_size,), _same, "vector"),
    }
    for layer in range(a.num_hidden_layers):
        for name, parameter in _layer(a, form, f"model.layers.{layer}.").items():
            found[f"model.layers.{layer}.{name}"] = parameter
    head = "model.embed_tokens.weight" if a.tie_word_embeddings else "lm_head.weight"
    found["lm_head.weight"] = Parameter((head,), embedding, _same, "matrix")
    return found


def _layer(a: Architecture, form: CacheForm, prefix: str) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}

    def add(name: str, sources: list[str], shape: tuple[int, ...], build: Callable[..., Tensor], kind: str = "matrix") -> None:
        found[name] = Parameter(tuple(prefix + source for source in sources), shape, build, kind)

    query = a.num_attention_heads * a.qk_head_dim
    head_rows, key_rows = _query_rows(a), _key_rows(a)
    for norm, width in (("input_layernorm", a.hidden_size), ("self_attn.kv_a_layernorm", a.kv_lora_rank),
                        ("post_attention_layernorm", a.hidden_size)):
        add(f"{norm}.weight", [f"{norm}.weight"], (width,), _same, "vector")

    def query_rows(weight: Tensor) -> Tensor:
        return weight[head_rows].float() * a.softmax_scale

    if a.q_lora_rank is None:
        first, first_rows, first_width = "self_attn.q_proj", query_rows, query
    else:
        first, first_rows, first_width = "self_attn.q_a_proj", _same, a.q_lora_rank
        add("self_attn.q_a_layernorm.weight", ["self_attn.q_a_layernorm.weight"], (a.q_lora_rank,), _same, "vector")
        add("self_attn.q_b_proj.weight", ["self_attn.q_b_proj.weight"], (query, a.q_lora_rank), query_rows)

    def fuse(q: Tensor, kv: Tensor) -> Tensor:
        q = first_rows(q)
        return torch.cat([q, kv[key_rows].to(q.dtype)])

    width = first_width + a.latent_dim
    add("self_attn.qkv_a_proj.weight", [f"{first}.weight", "self_attn.kv_a_proj_with_mqa.weight"], (width, a.hidden_size), fuse)
    if a.attention_bias:
        kv_bias = "self_attn.kv_a_proj_with_mqa.bias"
        if a.q_lora_rank is None:  # q_proj has no bias in any Youtu checkpoint
            add("self_attn.qkv_a_proj.bias", [kv_bias], (width,),
                lambda kv: torch.cat([torch.zeros(query, dtype=kv.dtype), kv[key_rows]]), "vector")
        else:
            add("self_attn.qkv_a_proj.bias", [f"{first}.bias", kv_bias], (width,), fuse, "vector")
        add("self_attn.o_proj.bias", ["self_attn.o_proj.bias"], (a.hidden_size,), _same, "vector")

    heads, nope, value, rank = a.num_attention_heads, a.qk_nope_head_dim, a.v_head_dim, a.kv_lora_rank

    def split(kv_b: Tensor) -> tuple[Tensor, Tensor]:
        return kv_b.view(heads, nope + value, rank).split([nope, value], 1)

    kv_b = ["self_attn.kv_b_proj.weight"]
    if form == "latent":
        add("self_attn.w_uk", kv_b, (heads, nope, rank), lambda w: split(w)[0], "absorbed")
        add("self_attn.w_uv", kv_b, (heads, rank, value), lambda w: split(w)[1].transpose(1, 2), "absorbed")
    else:
        add("self_attn.kv_b_proj.weight", kv_b, (heads * (nope + value), rank),
            lambda w: torch.cat([part.reshape(-1, rank) for part in split(w)]))
    add("self_attn.o_proj.weight", ["self_attn.o_proj.weight"], (a.hidden_size, heads * value), _same)
    add("mlp.gate_up_proj.weight", ["mlp.gate_proj.weight", "mlp.up_proj.weight"],
        (2 * a.intermediate_size, a.hidden_size), lambda gate, up: torch.cat([gate, up]))
    add("mlp.down_proj.weight", ["mlp.down_proj.weight"], (a.hidden_size, a.intermediate_size), _same)
    return found


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
