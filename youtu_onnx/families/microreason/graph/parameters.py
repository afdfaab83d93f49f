"""Where each parameter of the traced modules comes from: checkpoint tensors, and what is done to them.

Nothing is read here. A :class:`~youtu_onnx.graphs.parameter.Parameter` is a recipe that the weight streamer follows when its turn
comes.
"""

from __future__ import annotations

import torch

from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.form import GraphForm
from youtu_onnx.graphs.adapted_rows import AdaptedRows
from youtu_onnx.graphs.parameter import Parameter, Rows

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
QKV, GATE_UP = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")


def parameters(a: Architecture, form: GraphForm) -> dict[str, Parameter]:
    """All parameters of the model's graph: name in the graph → how to build it."""
    found = {
        EMBEDDING: _same(EMBEDDING, (a.vocab_size, a.hidden_size)),
        **form.dialect.positions(a),
        NORM: _vector(NORM, a.hidden_size),
    }
    for layer in range(a.num_hidden_layers):
        found |= _of_layer(a, f"model.layers.{layer}.")
    found[HEAD] = _same(EMBEDDING if a.tie_word_embeddings else HEAD, (a.vocab_size, a.hidden_size))
    return found


def adapted(a: Architecture) -> dict[str, tuple[AdaptedRows, ...]]:
    """Which rows of the graph's matrices are which of the checkpoint's, by the graph's names."""
    found: dict[str, tuple[AdaptedRows, ...]] = {"lm_head.weight": (AdaptedRows("lm_head", a.vocab_size),)}
    for layer in range(a.num_hidden_layers):
        own, mlp = (f"model.layers.{layer}.{part}." for part in ("self_attn", "mlp"))
        found[f"{own}qkv_proj.weight"] = tuple(AdaptedRows(own + name, a.inner_size) for name in QKV)
        found[f"{own}o_proj.weight"] = (AdaptedRows(f"{own}o_proj", a.hidden_size),)
        found[f"{mlp}gate_up_proj.weight"] = tuple(AdaptedRows(mlp + name, a.intermediate_size) for name in GATE_UP)
        found[f"{mlp}down_proj.weight"] = (AdaptedRows(f"{mlp}down_proj", a.hidden_size),)
    return found


def _of_layer(a: Architecture, prefix: str) -> dict[str, Parameter]:
    own, mlp, scale = f"{prefix}self_attn.", f"{prefix}mlp.", a.head_dim**-0.5
    q_norm, gate, bias = f"{own}q_norm.weight", f"{own}gate_proj.weight", f"{own}gate_proj.bias"
    found = {name: _vector(name, a.hidden_size) for name in (f"{prefix}input_layernorm.weight",)}
    found[f"{own}qkv_proj.weight"] = _above([f"{own}{name}.weight" for name in QKV], a.inner_size, a.hidden_size)
    found[q_norm] = Parameter((q_norm,), (a.head_dim,), lambda given: given[q_norm].float() * scale, "vector")
    found[f"{own}k_norm.weight"] = _vector(f"{own}k_norm.weight", a.head_dim)
    if a.attention_routing:
        found[gate] = Parameter((gate,), (a.hidden_size, 1), lambda given: given[gate].T, "vector")
        found[f"{own}gate_proj.threshold"] = Parameter((bias,), (1,), lambda given: -given[bias], "vector")
    found[f"{own}o_proj.weight"] = _same(f"{own}o_proj.weight", (a.hidden_size, a.inner_size))
    found[f"{prefix}post_attention_layernorm.weight"] = _vector(f"{prefix}post_attention_layernorm.weight", a.hidden_size)
    found[f"{mlp}gate_up_proj.weight"] = _above([f"{mlp}{name}.weight" for name in GATE_UP], a.intermediate_size, a.hidden_size)
    found[f"{mlp}down_proj.weight"] = _same(f"{mlp}down_proj.weight", (a.hidden_size, a.intermediate_size))
    return found


def _same(name: str, shape: tuple[int, int]) -> Parameter:
    """A matrix as it is."""
    return Parameter((name,), shape, lambda given: given[name], "matrix", rows=(Rows(name),))


def _vector(name: str, size: int) -> Parameter:
    return Parameter((name,), (size,), lambda given: given[name], "vector")


def _above(names: list[str], rows: int, columns: int) -> Parameter:
    """Matrices of as many rows each, one above the other."""
    shape = (len(names) * rows, columns)
    return Parameter(
        tuple(names), shape, lambda given: torch.cat([given[one] for one in names]), "matrix", rows=tuple(map(Rows, names))
    )
