"""The parameters of one layer. See ``modules.py`` for what is fused, ``row_orders.py`` for what is reordered, ``moved.py`` for
factors; the softmax scale is in the query's weights.

Shapes: H heads, N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank, V v_head_dim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph import row_orders
from youtu_onnx.families.youtu.graph.head_parameters import IntegerHalves, byte_heads, expanded, float_heads
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.families.youtu.graph.moved import KV_A, KV_A_BIAS, KV_A_NORM, KV_B, Halves, MovedFactors
from youtu_onnx.graphs.parameter import Given, Parameter, Rows


class InLayer(Mapping[str, Tensor]):
    """A layer's tensors by their names in it."""

    def __init__(self, given: Given, prefix: str) -> None:
        self._given, self._prefix = given, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self._given[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._given)

    def __len__(self) -> int:
        return len(self._given)


class LayerParameters:
    def __init__(self, architecture: Architecture, latent: Latent | None, prefix: str) -> None:
        self.a, self.latent, self.prefix = architecture, latent, prefix
        self.moved = MovedFactors(architecture, latent)
        self.found: dict[str, Parameter] = {}

    def parameters(self) -> dict[str, Parameter]:
        """By their names in the graph."""
        a = self.a
        for norm in ("input_layernorm.weight", "post_attention_layernorm.weight"):
            self.same(norm, (a.hidden_size,), "vector")
        self.projections()
        self.heads()
        self.same("self_attn.o_proj.weight", (a.hidden_size, a.num_attention_heads * a.v_head_dim))
        if a.attention_bias:
            self.same("self_attn.o_proj.bias", (a.hidden_size,), "vector")
        gate, up = "mlp.gate_proj.weight", "mlp.up_proj.weight"
        shape = (2 * a.intermediate_size, a.hidden_size)
        both = Parameter((gate, up), shape, lambda t: torch.cat([t[gate], t[up]]), "matrix", rows=(Rows(gate), Rows(up)))
        self.add("mlp.gate_up_proj.weight", both)
        self.same("mlp.down_proj.weight", (a.hidden_size, a.intermediate_size))
        return self.found

    def projections(self) -> None:
        a, moved = self.a, self.moved
        query = a.num_attention_heads * a.qk_head_dim
        if a.q_lora_rank is None:
            first, width, beside = "self_attn.q_proj.weight", query, moved.sources_of_query
        else:
            first, width, beside = "self_attn.q_a_proj.weight", a.q_lora_rank, moved.sources_of_keys
            own, shape = "self_attn.q_b_proj.weight", (query, a.q_lora_rank)
            self.same("self_attn.q_a_layernorm.weight", (a.q_lora_rank,), "vector")
            more, place = moved.sources_of_query, (self.query_rows(own),)
            self.add(own, Parameter((own,), shape, lambda t: self.queries(t, own), "matrix", more, rows=place))

        def both(t: Given) -> Tensor:
            return _above(self.queries(t, first) if a.q_lora_rank is None else t[first], self.keys(t, KV_A))

        shape = (width + a.latent_dim, a.hidden_size)
        rows = (self.query_rows(first) if a.q_lora_rank is None else Rows(first), self.key_rows())
        self.add("self_attn.qkv_a_proj.weight", Parameter((first, KV_A), shape, both, "matrix", beside, rows=rows))
        if a.attention_bias:
            self.biases(width)
        if moved.between_parts:
            sources = (KV_B, *moved.sources_of_keys)
            self.add(KV_A_NORM, Parameter((KV_A_NORM,), (a.kv_lora_rank,), moved.of_latent, "vector", sources))
        else:
            self.same(KV_A_NORM, (a.kv_lora_rank,), "vector")

    def biases(self, width: int) -> None:
        """Of the fused projection, whose first so many rows are the query's; q_proj has none in any Youtu checkpoint."""
        shape, beside, own = (width + self.a.latent_dim,), self.moved.sources_of_keys, "self_attn.q_a_proj.bias"

        def keys_alone(t: Given) -> Tensor:
            return torch.cat([torch.zeros(width), self.keys(t, KV_A_BIAS).float()])

        def both(t: Given) -> Tensor:
            return _above(t[own], self.keys(t, KV_A_BIAS))

        if self.a.q_lora_rank is None:
            made = Parameter((KV_A_BIAS,), shape, keys_alone, "vector", beside)
        else:
            made = Parameter((own, KV_A_BIAS), shape, both, "vector", beside)
        self.add("self_attn.qkv_a_proj.bias", made)

    def queries(self, t: Given, name: str) -> Tensor:
        """Rows of q_b_proj, or of q_proj, float32."""
        rows = t[name][row_orders.query_rows(self.a)].float() * self.a.softmax_scale
        return rows * self.moved.of_query(t).unsqueeze(1) if self.moved.into_query else rows

    def query_rows(self, name: str) -> Rows:
        """What :meth:`queries` makes."""

        def factors(t: Given) -> Tensor:
            scale = torch.full((self.a.num_attention_heads * self.a.qk_head_dim,), self.a.softmax_scale)
            return scale * self.moved.of_query(t) if self.moved.into_query else scale

        return Rows(name, lambda: row_orders.query_rows(self.a), factors)

    def key_rows(self) -> Rows:
        """What :meth:`keys` makes of the weight."""
        factors = (lambda t: 1 / self.moved.of_keys(t)) if self.moved.between_parts else None
        return Rows(KV_A, lambda: row_orders.key_rows(self.a), factors)

    def keys(self, t: Given, name: str) -> Tensor:
        """Rows of kv_a_proj_with_mqa, or its bias; in their own dtype where nothing is moved."""
        rows = t[name][row_orders.key_rows(self.a)]
        if not self.moved.between_parts:
            return rows
        factors = self.moved.of_keys(t)
        return rows.float() / (factors.unsqueeze(1) if rows.ndim == 2 else factors)

    def heads(self) -> None:
        a, beside = self.a, self.moved.sources_of_halves
        if self.latent is None:
            shape = (a.num_attention_heads * (a.qk_nope_head_dim + a.v_head_dim), a.kv_lora_rank)
            rows = (Rows(KV_B, lambda: row_orders.expanded_rows(a)),)
            self.add(KV_B, Parameter((KV_B,), shape, lambda t: expanded(self.moved.halves(t)), "matrix", rows=rows))
            return

        def halves(given: Given) -> Halves:
            return self.moved.halves(InLayer(given, self.prefix))

        def rounded(given: Given) -> IntegerHalves:
            return IntegerHalves.of(halves(given))

        stem = "self_attn.heads."
        if self.latent.integer_heads:
            for one in byte_heads(a):
                self.add(stem + one.name, Parameter((KV_B,), one.shape, one.build, one.kind, beside, rounded))
        else:
            for part in float_heads(a):
                self.add(stem + part.name, Parameter((KV_B,), part.shape, part.build, part.kind, beside, halves))

    def same(self, name: str, shape: tuple[int, ...], kind: str = "matrix") -> None:
        """A tensor as it is."""
        self.add(name, Parameter((name,), shape, lambda t: t[name], kind, rows=(Rows(name),)))

    def add(self, name: str, parameter: Parameter) -> None:
        """All names are those in the layer, and ``build`` takes the tensors by these. ``shared`` takes them by their own."""

        def build(given: Given) -> Tensor:
            return parameter.build(InLayer(given, self.prefix))

        tensors, beside = (tuple(self.prefix + one for one in names) for names in (parameter.tensors, parameter.beside))
        made = parameter.build if parameter.shared else build
        rows = tuple(self._rows(one) for one in parameter.rows)
        self.found[self.prefix + name] = replace(parameter, tensors=tensors, beside=beside, build=made, rows=rows)

    def _rows(self, rows: Rows) -> Rows:
        factors = rows.factors
        outer = None if factors is None else lambda given: factors(InLayer(given, self.prefix))
        return replace(rows, tensor=self.prefix + rows.tensor, factors=outer)


def _above(query: Tensor, keys: Tensor) -> Tensor:
    """In the dtype of whichever was computed with, where one was."""
    return torch.cat([query.to(keys.dtype), keys] if keys.dtype == torch.float32 else [query, keys.to(query.dtype)])
