"""The whole model's graph from traced parts: what precedes the layers, one layer repeated, what follows.

A layer over a latent cache is three parts in a row, and its attention is there in both orders where the form asks for it::

    hidden ─ Projection ─┬─ rows (append to the cache) ─┬─ If(many new tokens) ─ then Expanded ─┬─ Completion ─ hidden
                         └─ queries ────────────────────┘                      └ else Absorbed ─┘

Weights are initializers of the outer graph, whichever branch reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass

from exporters.passes.static_reshape import static_reshape
from exporters.trace import OPSET, trace
from exporters.youtu import latent, static
from exporters.youtu.form import GraphForm
from exporters.youtu.modules import Completion, Epilogue, ExpandedCache, Projection, Prologue, RMSNorm
from youtu_onnx.architecture import Architecture
from youtu_onnx.cache import CacheLayout, CacheTensor
from youtu_onnx.target import MANY

BATCH, SEQUENCE, PAST, TOTAL = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"
TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
IR_DTYPES = {"float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16, "uint8": ir.DataType.UINT8}

LOGITS_TO_KEEP = "logits_to_keep"


@dataclass(frozen=True)
class LayerParts:
    """Traces of one layer. ``store`` is None where ``attend`` takes and returns the cache itself; ``expanded`` is None
    where there is one order of attention only."""

    project: ir.Model
    store: ir.Model | None
    attend: ir.Model
    expanded: ir.Model | None
    complete: ir.Model

    def all(self) -> list[ir.Model]:
        return [part for part in (self.project, self.store, self.attend, self.expanded, self.complete) if part is not None]


def build_graph(architecture: Architecture, form: GraphForm) -> ir.Model:
    """Trace and assemble; weights are initializers without data, named as in ``parameters.py``.

    Inputs ``input_ids`` [B,S], ``attention_mask`` [B,T], ``position_ids`` [B,S] (int64) and the layout's past tensors;
    outputs ``logits`` [B,S,vocab] and the layout's presents. Where the form is the CPU's, there is one more input that need
    not be given: ``logits_to_keep`` [1] int64, the number of last positions to compute logits of; 0, its default, is all.
    A static cache's pasts and presents have its length, and the mask may have it from the first step on.
    """
    a, dtype = architecture, TORCH_DTYPES[form.float_dtype]
    ids = lambda length: torch.ones(2, length, dtype=torch.int64)  # noqa: E731
    norm, opset = (static.SimplifiedRMSNorm, static.OPSET) if form.static else (RMSNorm, OPSET)
    prologue = trace((lambda: static.StaticPrologue(a, form.cache.length)) if form.static else
                     (lambda: Prologue(a, dither=form.byte_cache)), lambda: (ids(3), ids(8), ids(3)), dtype=dtype,
                     dynamic=[{0: BATCH, 1: SEQUENCE}, {0: BATCH, 1: TOTAL}, {0: BATCH, 1: SEQUENCE}], opset=opset)
    layer = (_trace_static_layer if form.static else _trace_layer)(a, form, dtype)
    epilogue = trace(lambda: Epilogue(a, norm), lambda: (torch.ones(2, 3, a.hidden_size),), dtype=dtype,
                     dynamic=[{0: BATCH, 1: SEQUENCE}], opset=opset)
    for part in (prologue, *layer.all(), epilogue):
        static_reshape(part)
        RemoveUnusedNodesPass()(part)
    return _assemble(a, form, prologue, layer, epilogue)


def _trace_layer(a: Architecture, form: GraphForm, dtype: torch.dtype) -> LayerParts:
    new, total, past = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 2: TOTAL}, {0: BATCH, 2: PAST}
    by_head = {0: BATCH, 2: SEQUENCE}
    hidden = lambda: torch.ones(2, 3, a.hidden_size)  # noqa: E731
    angles = lambda: [torch.ones(2, 3, a.qk_rope_head_dim // 2) for _ in ("cos", "sin")]  # noqa: E731
    queries = lambda: [torch.ones(2, a.num_attention_heads, 3, width)  # noqa: E731
                       for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)]
    keys = lambda: [torch.ones(2, 3, a.kv_lora_rank), torch.ones(2, 3, a.qk_rope_head_dim)]  # noqa: E731
    bias, bias_axes = lambda: torch.ones(2, 1, 3, 8), {0: BATCH, 2: SEQUENCE, 3: TOTAL}
    tensors = _layer_tensors(form.cache, 0)
    pasts = lambda length: [torch.ones(2, t.heads, length, t.width, dtype=TORCH_DTYPES[form.cache.dtype])  # noqa: E731
                            for t in tensors]

    project = trace(lambda: Projection(a), lambda: [hidden(), *angles()], dtype=dtype, dynamic=[new] * 3)
    complete = trace(lambda: Completion(a, cpu=form.cpu),
                     lambda: [hidden(), torch.ones(2, 3, a.num_attention_heads * a.v_head_dim)], dtype=dtype, dynamic=[new] * 2)
    if form.cache.form == "expanded":
        attend = trace(lambda: ExpandedCache(a), lambda: [*queries(), *keys(), bias(), *pasts(5)], dtype=dtype,
                       dynamic=[by_head, by_head, new, new, bias_axes, past, past])
        return LayerParts(project, None, attend, None, complete)

    rows = (lambda: latent.ByteRows(a)) if form.byte_cache else (lambda: latent.FloatRows(a))
    store = trace(rows, lambda: [*keys(), *pasts(5)], dtype=dtype, dynamic=[new, new, past])

    def trace_attention(build: Callable[[latent.Heads], torch.nn.Module], *more: dict[int, str]) -> ir.Model:
        heads = (lambda: latent.ByteHeads(a)) if form.integer_heads else (lambda: latent.FloatHeads(a))
        return trace(lambda: build(heads()), lambda: [*queries(), *pasts(8), bias(), *(torch.ones(8) for _ in more)], dtype=dtype,
                     dynamic=[by_head, by_head, total, bias_axes, *more])

    if form.byte_cache:
        absorbed = trace_attention(lambda heads: latent.AbsorbedBytes(a, heads, latent.ByteRows(a)), {0: TOTAL})
        expanded = trace_attention(lambda heads: latent.ExpandedBytes(a, heads, latent.ByteRows(a)))
    else:
        absorbed = trace_attention(lambda heads: latent.Absorbed(a, heads, keys_first=form.cpu))
        expanded = trace_attention(lambda heads: latent.Expanded(a, heads, latent.FloatRows(a))) if form.cpu else None
    return LayerParts(project, store, absorbed, expanded, complete)


def _trace_static_layer(a: Architecture, form: GraphForm, dtype: torch.dtype) -> LayerParts:
    length, heads, new = form.cache.length, a.num_attention_heads, {0: BATCH, 1: SEQUENCE}
    by_head = {0: BATCH, 2: SEQUENCE}
    hidden = lambda *more: torch.ones(2, 3, *more)  # noqa: E731
    past = lambda: torch.ones(2, 1, length, a.latent_dim)  # noqa: E731
    part, norm = functools.partial(trace, dtype=dtype, opset=static.OPSET), static.SimplifiedRMSNorm
    project = part(lambda: Projection(a, norm, static.TableProjections),
                   lambda: [hidden(a.hidden_size), *(hidden(1, a.qk_rope_head_dim) for _ in ("cos", "sin"))], dynamic=[new] * 3)
    store = part(static.StaticRows, lambda: [hidden(a.kv_lora_rank), hidden(a.qk_rope_head_dim), past(),
                                             torch.ones(2, 1, length, 1, dtype=torch.bool), torch.ones(1, 1, length, 3)],
                 dynamic=[new, new, {0: BATCH}, {0: BATCH}, {3: SEQUENCE}])
    attend = part(lambda: static.StaticAbsorbed(a, latent.FloatHeads(a), keys_first=False),
                  lambda: [torch.ones(2, heads, 3, a.qk_nope_head_dim), hidden(heads, a.qk_rope_head_dim), past(),
                           torch.ones(2, 1, 3, length)], dynamic=[by_head, new, {0: BATCH}, by_head])
    complete = part(lambda: Completion(a, norm), lambda: [hidden(a.hidden_size), hidden(heads * a.v_head_dim)],
                    dynamic=[new] * 2)
    return LayerParts(project, store, attend, None, complete)


def _layer_tensors(cache: CacheLayout, layer: int) -> list[CacheTensor]:
    return [t for t in cache.tensors() if t.layer == layer and t.role != "unused"]


def _assemble(a: Architecture, form: GraphForm, prologue: ir.Model, layer: LayerParts, epilogue: ir.Model) -> ir.Model:
    cache, floats, stored = form.cache, IR_DTYPES[form.float_dtype], IR_DTYPES[form.cache.dtype]
    inputs = {name: _value(name, ir.DataType.INT64, [BATCH, length]) for name, length in
              (("input_ids", SEQUENCE), ("attention_mask", TOTAL), ("position_ids", SEQUENCE))}
    past_length, total = (PAST, TOTAL) if cache.length is None else (cache.length, cache.length)
    pasts = {t.past: _value(t.past, stored, [BATCH, t.heads, past_length, t.width]) for t in cache.tensors()}
    graph = ir.Graph([*inputs.values(), *pasts.values()], [], nodes=[], name="youtu",
                     opset_imports={"": static.OPSET if form.static else OPSET, "com.microsoft": 1})
    weights = graph.initializers
    hidden, cos, sin, bias, *more = _copy(prologue, graph, weights, "model.", "embed.", list(inputs.values()))
    many = _many_tokens(graph, inputs["input_ids"]) if layer.expanded is not None else None
    for_rows, dither = (more, []) if form.static else ([], more)
    presents: dict[str, ir.Value] = {}
    for index in range(a.num_hidden_layers):
        tensors, prefix = _layer_tensors(cache, index), f"model.layers.{index}."
        past = [pasts[t.past] for t in tensors]
        q_nope, q_rope, c_kv, k_rope = _copy(layer.project, graph, weights, prefix, "project.", [hidden, cos, sin])
        attention = f"{prefix}self_attn."
        if layer.store is None:
            seen = [q_nope, q_rope, c_kv, k_rope, bias, *past]
            context, *made = _copy(layer.attend, graph, weights, attention, "expanded.", seen)
        else:
            made = _copy(layer.store, graph, weights, attention, "rows.", [c_kv, k_rope, *past, *for_rows])
            seen = [q_nope, q_rope, *made, bias]
            if layer.expanded is None:
                [context] = _copy(layer.attend, graph, weights, attention, "absorbed.", [*seen, *dither])
            else:
                branches = [_branch(part, weights, attention, name, values) for name, part, values in
                            (("expanded.", layer.expanded, seen), ("absorbed.", layer.attend, [*seen, *dither]))]
                context = _choose(graph, many, *branches, name=f"{attention}context")
        presents.update(zip((t.present for t in tensors), made, strict=True))
        [hidden] = _copy(layer.complete, graph, weights, prefix, "complete.", [hidden, context])
    for t in cache.tensors():
        if t.role == "unused":  # the pair's other half in a model of an odd number of layers
            twin = next(other for other in cache.tensors() if other.layer == t.layer and other.role == "latent")
            node = ir.node("Identity", [presents[twin.present]], outputs=[ir.Value(name=t.present)])
            graph.append(node)
            presents[t.present] = node.outputs[0]
    if form.cpu:
        hidden = _last_positions(graph, hidden)
    [logits] = _copy(epilogue, graph, weights, "model.", "head.", [hidden])
    _output(graph, logits, "logits", floats, [BATCH, SEQUENCE, a.vocab_size])
    for t in cache.tensors():
        _output(graph, presents[t.present], t.present, stored, [BATCH, t.heads, total, t.width])
    if "model.lm_head.weight" in graph.initializers:
        _rename(graph, "model.lm_head.weight", "lm_head.weight")
    return ir.Model(graph, ir_version=10, producer_name="youtu-onnx")


def _copy(part: ir.Model, graph: ir.Graph, weights: dict[str, ir.Value], prefix: str, kind: str,
          inputs: list[ir.Value]) -> list[ir.Value]:
    """Append a part's nodes to ``graph`` with prefixed names, fed with ``inputs``; returns its outputs.

    The part's small constants (those with data) are named after its ``kind`` and shared by all copies; its weights are not.
    """
    values: dict[ir.Value, ir.Value] = dict(zip(part.graph.inputs, inputs, strict=True))
    for name, value in part.graph.initializers.items():
        own = f"{kind}{name}" if value.const_value is not None else f"{prefix}{name}"
        if own not in weights:
            weights[own] = ir.Value(name=own, shape=value.shape, type=value.type, const_value=value.const_value)
        values[value] = weights[own]
    for node in part.graph:
        outputs = [ir.Value(name=f"{prefix}{kind}{o.name}", shape=o.shape, type=o.type) for o in node.outputs]
        values.update(zip(node.outputs, outputs, strict=True))
        graph.append(ir.Node(node.domain, node.op_type, [None if i is None else values[i] for i in node.inputs],
                             node.attributes.values(), outputs=outputs, name=f"{outputs[0].name}/{node.op_type}"))
    return [values[output] for output in part.graph.outputs]


def _branch(part: ir.Model, weights: dict[str, ir.Value], prefix: str, kind: str, inputs: list[ir.Value]) -> ir.Graph:
    """A part as one branch of an ``If``: it takes the outer graph's values by name."""
    graph = ir.Graph([], [], nodes=[], name=f"{prefix}{kind}branch")
    graph.outputs.extend(_copy(part, graph, weights, prefix, kind, inputs))
    return graph


def _choose(graph: ir.Graph, condition: ir.Value, then: ir.Graph, otherwise: ir.Graph, *, name: str) -> ir.Value:
    chosen = ir.Value(name=name, shape=then.outputs[0].shape, type=then.outputs[0].type)
    graph.append(ir.Node("", "If", [condition], [ir.AttrGraph("then_branch", then), ir.AttrGraph("else_branch", otherwise)],
                         outputs=[chosen], name=f"{name}/If"))
    return chosen


def _many_tokens(graph: ir.Graph, input_ids: ir.Value) -> ir.Value:
    """Scalar: whether this step has so many new tokens that expanding is the faster order."""
    graph.append(length := ir.node("Shape", [input_ids], {"start": 1, "end": 2}, outputs=[ir.Value(name="step.length")]))
    scalar = ir.node("Squeeze", [length.outputs[0]], outputs=[ir.Value(name="step.new")])
    many = ir.node("GreaterOrEqual", [scalar.outputs[0], _constant(graph, "step.many_from", np.array(MANY, np.int64))],
                   outputs=[ir.Value(name="step.many")])
    graph.extend([scalar, many])
    return many.outputs[0]


def _last_positions(graph: ir.Graph, hidden: ir.Value) -> ir.Value:
    """The last ``logits_to_keep`` positions; the input has a default, so only who knows of it gives it."""
    keep = _value(LOGITS_TO_KEEP, ir.DataType.INT64, [1])
    keep.const_value = ir.tensor(np.zeros(1, np.int64), name=LOGITS_TO_KEEP)
    graph.inputs.append(keep)
    graph.initializers[LOGITS_TO_KEEP] = keep
    start = ir.node("Neg", [keep], outputs=[ir.Value(name="head.start")])
    bounds = [_constant(graph, f"head.{name}", np.array([number], np.int64)) for name, number in (("end", 2**31), ("axis", 1))]
    kept = ir.node("Slice", [hidden, start.outputs[0], *bounds], outputs=[ir.Value(name="head.kept")])
    graph.extend([start, kept])
    return kept.outputs[0]


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    graph.initializers[name] = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    return graph.initializers[name]


def _value(name: str, dtype: ir.DataType, dims: Sequence[int | str]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))


def _output(graph: ir.Graph, value: ir.Value, name: str, dtype: ir.DataType, dims: list[int | str]) -> None:
    value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(dims)
    graph.outputs.append(value)


def _rename(graph: ir.Graph, old: str, new: str) -> None:
    value = graph.initializers.pop(old)
    value.name = new
    graph.initializers[new] = value
