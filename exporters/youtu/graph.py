"""The whole model's graph from traced parts: what precedes the layers, one layer repeated, what follows.

A layer over a latent cache is three parts in a row, and its attention is there in both orders where the form asks for it::

    hidden ─ Projection ─┬─ rows (append to the cache) ─┬─ If(many new tokens) ─ then Expanded ─┬─ Completion ─ hidden
                         └─ queries ────────────────────┘                      └ else Absorbed ─┘

Weights are initializers of the outer graph, whichever branch reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass

from exporters.passes.static_reshape import static_reshape
from exporters.trace import trace
from exporters.youtu import device, latent, parts, static
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
    prologue = trace(lambda: _prologue(a, form), lambda: (ids(3), ids(8), ids(3)), dtype=dtype,
                     dynamic=[{0: BATCH, 1: SEQUENCE}, {0: BATCH, 1: TOTAL}, {0: BATCH, 1: SEQUENCE}], opset=form.opset)
    layer = traced_layer(a, form)
    epilogue = trace(lambda: Epilogue(a, _norm(form)), lambda: (torch.ones(2, 3, a.hidden_size),), dtype=dtype,
                     dynamic=[{0: BATCH, 1: SEQUENCE}], opset=form.opset)
    for part in (prologue, epilogue):
        tidy(part)
    return _assemble(a, form, prologue, layer, epilogue)


@functools.lru_cache(maxsize=2)
def traced_layer(a: Architecture, form: GraphForm) -> LayerParts:
    """Shared by the graph of one sequence and the batch graph; nobody changes it."""
    layer = (_trace_static_layer if form.static else _trace_layer)(a, form, TORCH_DTYPES[form.float_dtype])
    for part in layer.all():
        tidy(part)
    return layer


def tidy(part: ir.Model) -> None:
    """What no step should compute."""
    static_reshape(part)
    RemoveUnusedNodesPass()(part)


def _prologue(a: Architecture, form: GraphForm) -> torch.nn.Module:
    if form.static:
        return static.StaticPrologue(a, form.cache.length)
    return device.DevicePrologue(a) if form.device else Prologue(a, dither=form.byte_cache)


def _trace_layer(a: Architecture, form: GraphForm, dtype: torch.dtype) -> LayerParts:
    new, total, past = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 2: TOTAL}, {0: BATCH, 2: PAST}
    by_head = {0: BATCH, 2: SEQUENCE}
    hidden = lambda: torch.ones(2, 3, a.hidden_size)  # noqa: E731
    turns = (1, a.qk_rope_head_dim) if form.device else (a.qk_rope_head_dim // 2,)
    angles = lambda: [torch.ones(2, 3, *turns) for _ in ("cos", "sin")]  # noqa: E731
    queries = lambda: [torch.ones(2, a.num_attention_heads, 3, width)  # noqa: E731
                       for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)]
    keys = lambda: [torch.ones(2, 3, a.kv_lora_rank), torch.ones(2, 3, a.qk_rope_head_dim)]  # noqa: E731
    bias, bias_axes = lambda: torch.ones(2, 1, 3, 8), {0: BATCH, 2: SEQUENCE, 3: TOTAL}
    tensors = _layer_tensors(form.cache, 0)
    pasts = lambda length: [torch.ones(2, t.heads, length, t.width, dtype=TORCH_DTYPES[form.cache.dtype])  # noqa: E731
                            for t in tensors]

    part = functools.partial(trace, dtype=dtype, opset=form.opset)
    projections = device.TableProjections if form.device else None
    project = part(lambda: Projection(a, _norm(form), projections), lambda: [hidden(), *angles()], dynamic=[new] * 3)
    complete = part(lambda: Completion(a, _norm(form), cpu=form.cpu),
                    lambda: [hidden(), torch.ones(2, 3, a.num_attention_heads * a.v_head_dim)], dynamic=[new] * 2)
    if form.cache.form == "expanded":
        attend = part(lambda: ExpandedCache(a), lambda: [*queries(), *keys(), bias(), *pasts(5)],
                      dynamic=[by_head, by_head, new, new, bias_axes, past, past])
        return LayerParts(project, None, attend, None, complete)

    rows = (lambda: latent.ByteRows(a)) if form.byte_cache else (lambda: latent.FloatRows(a))
    store = part(rows, lambda: [*keys(), *pasts(5)], dynamic=[new, new, past])

    def trace_attention(build: Callable[[latent.Heads], torch.nn.Module], *more: dict[int, str]) -> ir.Model:
        heads = (lambda: latent.ByteHeads(a)) if form.integer_heads else (lambda: latent.FloatHeads(a))
        return part(lambda: build(heads()), lambda: [*queries(), *pasts(8), bias(), *(torch.ones(8) for _ in more)],
                    dynamic=[by_head, by_head, total, bias_axes, *more])

    if form.byte_cache:
        absorbed = trace_attention(lambda heads: latent.Absorbed(a, heads, latent.OverBytes(a)), {0: TOTAL})
        expanded = trace_attention(lambda heads: latent.ExpandedBytes(a, heads, latent.ByteRows(a)))
    else:
        absorbed = trace_attention(lambda heads: latent.Absorbed(a, heads, latent.OverFloats(keys_first=form.cpu)))
        expanded = trace_attention(lambda heads: latent.Expanded(a, heads, latent.FloatRows(a))) if form.cpu else None
    return LayerParts(project, store, absorbed, expanded, complete)


def _trace_static_layer(a: Architecture, form: GraphForm, dtype: torch.dtype) -> LayerParts:
    length, heads, new = form.cache.length, a.num_attention_heads, {0: BATCH, 1: SEQUENCE}
    by_head = {0: BATCH, 2: SEQUENCE}
    hidden = lambda *more: torch.ones(2, 3, *more)  # noqa: E731
    past = lambda: torch.ones(2, 1, length, a.latent_dim)  # noqa: E731
    part = functools.partial(trace, dtype=dtype, opset=form.opset)
    project = part(lambda: Projection(a, _norm(form), device.TableProjections),
                   lambda: [hidden(a.hidden_size), *(hidden(1, a.qk_rope_head_dim) for _ in ("cos", "sin"))], dynamic=[new] * 3)
    store = part(static.StaticRows, lambda: [hidden(a.kv_lora_rank), hidden(a.qk_rope_head_dim), past(),
                                             torch.ones(2, 1, length, 1, dtype=torch.bool), torch.ones(1, 1, length, 3)],
                 dynamic=[new, new, {0: BATCH}, {0: BATCH}, {3: SEQUENCE}])
    attend = part(lambda: static.StaticAbsorbed(a, latent.FloatHeads(a), latent.OverFloats(keys_first=False)),
                  lambda: [*(torch.ones(2, heads, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)), past(),
                           torch.ones(2, 1, 3, length)], dynamic=[by_head, by_head, {0: BATCH}, by_head])
    complete = part(lambda: Completion(a, _norm(form)), lambda: [hidden(a.hidden_size), hidden(heads * a.v_head_dim)],
                    dynamic=[new] * 2)
    return LayerParts(project, store, attend, None, complete)


def _norm(form: GraphForm) -> type[RMSNorm]:
    """ONNX has an operator for it from opset 23 on."""
    return device.SimplifiedRMSNorm if form.device else RMSNorm


def _layer_tensors(cache: CacheLayout, layer: int) -> list[CacheTensor]:
    return [t for t in cache.tensors() if t.layer == layer and t.role != "unused"]


def _assemble(a: Architecture, form: GraphForm, prologue: ir.Model, layer: LayerParts, epilogue: ir.Model) -> ir.Model:
    cache, floats, stored = form.cache, IR_DTYPES[form.float_dtype], IR_DTYPES[form.cache.dtype]
    inputs = {name: parts.declare(name, ir.DataType.INT64, [BATCH, length]) for name, length in
              (("input_ids", SEQUENCE), ("attention_mask", TOTAL), ("position_ids", SEQUENCE))}
    past_length, total = (PAST, TOTAL) if cache.length is None else (cache.length, cache.length)
    pasts = {t.past: parts.declare(t.past, stored, [BATCH, t.heads, past_length, t.width]) for t in cache.tensors()}
    graph = ir.Graph([*inputs.values(), *pasts.values()], [], nodes=[], opset_imports={"": form.opset, "com.microsoft": 1},
                     name="youtu")
    weights = graph.initializers
    hidden, cos, sin, bias, *more = parts.append(prologue, graph, weights, "model.", "embed.", list(inputs.values()))
    many = _many_tokens(graph, inputs["input_ids"]) if layer.expanded is not None else None
    for_rows, dither = (more, []) if form.static else ([], more)
    presents: dict[str, ir.Value] = {}
    for index in range(a.num_hidden_layers):
        tensors, prefix = _layer_tensors(cache, index), f"model.layers.{index}."
        past = [pasts[t.past] for t in tensors]
        q_nope, q_rope, c_kv, k_rope = parts.append(layer.project, graph, weights, prefix, "project.", [hidden, cos, sin])
        attention = f"{prefix}self_attn."
        if layer.store is None:
            seen = [q_nope, q_rope, c_kv, k_rope, bias, *past]
            context, *made = parts.append(layer.attend, graph, weights, attention, "expanded.", seen)
        else:
            made = parts.append(layer.store, graph, weights, attention, "rows.", [c_kv, k_rope, *past, *for_rows])
            seen = [q_nope, q_rope, *made, bias]
            if layer.expanded is None:
                [context] = parts.append(layer.attend, graph, weights, attention, "absorbed.", [*seen, *dither])
            else:
                branches = [parts.branch(part, weights, attention, name, values) for name, part, values in
                            (("expanded.", layer.expanded, seen), ("absorbed.", layer.attend, [*seen, *dither]))]
                context = parts.choose(graph, many, *branches, name=f"{attention}context")
        presents.update(zip((t.present for t in tensors), made, strict=True))
        [hidden] = parts.append(layer.complete, graph, weights, prefix, "complete.", [hidden, context])
    for t in cache.tensors():
        if t.role == "unused":  # the pair's other half in a model of an odd number of layers
            twin = next(other for other in cache.tensors() if other.layer == t.layer and other.role == "latent")
            node = ir.node("Identity", [presents[twin.present]], outputs=[ir.Value(name=t.present)])
            graph.append(node)
            presents[t.present] = node.outputs[0]
    if form.cpu:
        hidden = _last_positions(graph, hidden)
    logits = append_head(graph, epilogue, hidden)
    parts.declare_output(graph, logits, "logits", floats, [BATCH, SEQUENCE, a.vocab_size])
    for t in cache.tensors():
        parts.declare_output(graph, presents[t.present], t.present, stored, [BATCH, t.heads, total, t.width])
    return ir.Model(graph, ir_version=10, producer_name="youtu-onnx")


def _many_tokens(graph: ir.Graph, input_ids: ir.Value) -> ir.Value:
    """Scalar: whether this step has so many new tokens that expanding is the faster order."""
    graph.append(length := ir.node("Shape", [input_ids], {"start": 1, "end": 2}, outputs=[ir.Value(name="step.length")]))
    scalar = ir.node("Squeeze", [length.outputs[0]], outputs=[ir.Value(name="step.new")])
    many = ir.node("GreaterOrEqual", [scalar.outputs[0], parts.constant(graph, "step.many_from", np.array(MANY, np.int64))],
                   outputs=[ir.Value(name="step.many")])
    graph.extend([scalar, many])
    return many.outputs[0]


def _last_positions(graph: ir.Graph, hidden: ir.Value) -> ir.Value:
    """The last ``logits_to_keep`` positions; the input has a default, so only who knows of it gives it."""
    keep = parts.declare(LOGITS_TO_KEEP, ir.DataType.INT64, [1])
    keep.const_value = ir.tensor(np.zeros(1, np.int64), name=LOGITS_TO_KEEP)
    graph.inputs.append(keep)
    graph.initializers[LOGITS_TO_KEEP] = keep
    start = ir.node("Neg", [keep], outputs=[ir.Value(name="head.start")])
    graph.append(start)
    return positions_from(graph, hidden, start.outputs[0], "head.kept")


def positions_from(graph: ir.Graph, hidden: ir.Value, start: ir.Value, name: str) -> ir.Value:
    """``[B,S,D]`` from position ``start`` [1] on; below zero it counts from the end."""
    bounds = [parts.constant(graph, f"head.{bound}", np.array([number], np.int64))
              for bound, number in (("end", 2**31), ("axis", 1))]
    graph.append(ir.node("Slice", [hidden, start, *bounds], outputs=[kept := ir.Value(name=name)]))
    return kept


def append_head(graph: ir.Graph, epilogue: ir.Model, hidden: ir.Value) -> ir.Value:
    """The logits; its matrix is called as Hugging Face calls it."""
    [logits] = parts.append(epilogue, graph, graph.initializers, "model.", "head.", [hidden])
    if "model.lm_head.weight" in graph.initializers:
        parts.rename(graph, "model.lm_head.weight", "lm_head.weight")
    return logits
