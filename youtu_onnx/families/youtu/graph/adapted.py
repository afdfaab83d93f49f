"""Which rows of the graph's matrices are which of the checkpoint's: see ``layer_parameters.py``, which builds them."""

from __future__ import annotations

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph import row_orders
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.layer_parameters import InLayer
from youtu_onnx.families.youtu.graph.moved import MovedFactors
from youtu_onnx.graphs.adapted_rows import AdaptedHeads, AdaptedRows
from youtu_onnx.graphs.parameter import Given

Adapted = dict[str, tuple[AdaptedRows, ...]]


def adapted(a: Architecture, form: GraphForm) -> Adapted:
    """By the graph's name of a matrix."""
    found: Adapted = {}
    for index in range(a.num_hidden_layers):
        found |= _Layer(a, form, f"model.layers.{index}.").matrices()
    return found | {"lm_head.weight": (AdaptedRows("lm_head", a.vocab_size),)}


def adapted_heads(a: Architecture, form: GraphForm) -> dict[str, AdaptedHeads]:
    """By the graph's name of a layer's heads."""
    if form.latent is None or not form.latent.adapted:
        return {}
    prefixes = [f"model.layers.{index}." for index in range(a.num_hidden_layers)]
    return {f"{prefix}self_attn.heads.lora": _Layer(a, form, prefix).heads() for prefix in prefixes}


class _Layer:
    def __init__(self, a: Architecture, form: GraphForm, prefix: str) -> None:
        self.a, self.prefix, self.latent = a, prefix, form.latent
        self.moved = MovedFactors(a, form.latent)

    def matrices(self) -> Adapted:
        a, own, mlp = self.a, f"{self.prefix}self_attn.", f"{self.prefix}mlp."
        low_rank = a.q_lora_rank is not None
        first = AdaptedRows(f"{own}q_a_proj", a.q_lora_rank) if a.q_lora_rank is not None else self.query("q_proj")
        found: Adapted = {
            f"{own}qkv_a_proj.weight": (first, self.keys()),
            f"{own}o_proj.weight": (AdaptedRows(f"{own}o_proj", a.hidden_size),),
            f"{mlp}gate_up_proj.weight": tuple(
                AdaptedRows(f"{mlp}{name}", a.intermediate_size) for name in ("gate_proj", "up_proj")
            ),
            f"{mlp}down_proj.weight": (AdaptedRows(f"{mlp}down_proj", a.hidden_size),),
        }
        if low_rank:
            found[f"{own}q_b_proj.weight"] = (self.query("q_b_proj"),)
        if self.latent is None:
            rows = torch.arange(a.num_attention_heads * (a.qk_nope_head_dim + a.v_head_dim)).view(a.num_attention_heads, -1)
            order = torch.cat([half.reshape(-1) for half in torch.split(rows, [a.qk_nope_head_dim, a.v_head_dim], 1)])
            found[f"{own}kv_b_proj.weight"] = (AdaptedRows(f"{own}kv_b_proj", len(order), order),)
        return found

    def query(self, name: str) -> AdaptedRows:
        order, moved, prefix = row_orders.query_rows(self.a), self.moved, self.prefix

        def factors(given: Given) -> Tensor:
            scale = torch.full((len(order),), self.a.softmax_scale)
            return scale * moved.of_query(InLayer(given, prefix)) if moved.into_query else scale

        sources = tuple(prefix + one for one in moved.sources_of_query)
        return AdaptedRows(f"{prefix}self_attn.{name}", len(order), order, factors, sources)

    def keys(self) -> AdaptedRows:
        order, moved, prefix = row_orders.key_rows(self.a), self.moved, self.prefix
        module = f"{prefix}self_attn.kv_a_proj_with_mqa"
        if not moved.between_parts:
            return AdaptedRows(module, len(order), order)
        sources = tuple(prefix + one for one in moved.sources_of_keys)
        return AdaptedRows(module, len(order), order, lambda given: 1 / moved.of_keys(InLayer(given, prefix)), sources)

    def heads(self) -> AdaptedHeads:
        """Keys are divided by the scales that went into the query."""
        a, moved, prefix = self.a, self.moved, self.prefix
        sizes = (a.num_attention_heads, a.qk_nope_head_dim, a.v_head_dim, a.kv_lora_rank)
        module, keys = f"{prefix}self_attn.kv_b_proj", a.num_attention_heads * a.qk_nope_head_dim
        if not moved.into_query:
            return AdaptedHeads(module, *sizes)
        sources = tuple(prefix + one for one in moved.sources_of_query)
        return AdaptedHeads(module, *sizes, lambda given: 1 / moved.of_query(InLayer(given, prefix))[:keys], sources)
