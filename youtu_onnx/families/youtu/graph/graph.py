"""The whole model's graph from traced parts: what precedes the layers, one layer repeated, what follows.

A layer over a latent cache is three parts in a row, and its attention is there in both orders where the form asks for it::

    hidden ─ Projection ─┬─ rows (append to the cache) ─┬─ If(many new tokens) ─ then Expanded ─┬─ Completion ─ hidden
                         └─ queries ────────────────────┘                      └ else Absorbed ─┘

Weights are initializers of the outer graph, whichever branch reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass

from youtu_onnx.core.cache import CacheLayout, CacheTensor
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph import device, latent, static
from youtu_onnx.families.youtu.graph.form import EXPANDS_FROM, GraphForm
from youtu_onnx.families.youtu.graph.modules import Completion, Epilogue, ExpandedCache, Projection, Prologue, RMSNorm
from youtu_onnx.graphs import parts
from youtu_onnx.graphs.static_reshape import static_reshape
from youtu_onnx.graphs.trace import Part, trace
from youtu_onnx.graphs.traces import Traces

BATCH, SEQUENCE, PAST, TOTAL = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"
TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
IR_DTYPES = {"float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16, "uint8": ir.DataType.UINT8}

LOGITS_TO_KEEP = "logits_to_keep"


@dataclass(frozen=True)
class ModelParts:
    """Traces of what precedes the layers, of one layer, and of what follows them.

    ``store`` is None where ``attend`` takes and returns the cache itself; ``expanded`` is None where there is one order of
    attention only.
    """

    prologue: ir.Model
    project: ir.Model
    attend: ir.Model
    complete: ir.Model
    epilogue: ir.Model
    store: ir.Model | None = None
    expanded: ir.Model | None = None


def build_graph(architecture: Architecture, form: GraphForm, traces: Traces) -> ir.Model:
    """Trace and assemble; weights are initializers without data, named as in ``parameters.py``.

    Inputs ``input_ids`` [B,S], ``attention_mask`` [B,T], ``position_ids`` [B,S] (int64) and the layout's past tensors;
    outputs ``logits`` [B,S,vocab] and the layout's presents. Where the form is the CPU's, there is one more input that need
    not be given: ``logits_to_keep`` [1] int64, the number of last positions to compute logits of; 0, its default, is all.
    A static cache's pasts and presents have its length, and the mask may have it from the first step on.
    """
    return _assemble(architecture, form, traced_model(architecture, form, traces))


def traced_model(architecture: Architecture, form: GraphForm, traces: Traces) -> ModelParts:
    """Shared by the graph of one sequence and the batch graph; nobody changes it."""
    a, form = architecture.traced(rotations=not form.device), form.traced()
    ids = lambda length: torch.ones(2, length, dtype=torch.int64)  # noqa: E731
    new, total = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 1: TOTAL}
    ends = {
        "prologue": Part(lambda: _prologue(a, form), lambda: (ids(3), ids(8), ids(3)), [new, total, new]),
        "epilogue": Part(lambda: Epilogue(a, _norm(form)), lambda: (torch.ones(2, 3, a.hidden_size),), [new]),
    }
    layer = (_static_layer if form.static else _layer)(a, form)
    return ModelParts(**traces.parts(("model", a, form), lambda: traced_parts(form, ends | layer)))


def traced_parts(form: GraphForm, wanted: Mapping[str, Part]) -> dict[str, ir.Model]:
    """Without what no step should compute."""
    made = trace(wanted, dtype=TORCH_DTYPES[form.float_dtype], opset=form.opset)
    for part in made.values():
        static_reshape(part)
        RemoveUnusedNodesPass()(part)
    return made


def _prologue(a: Architecture, form: GraphForm) -> torch.nn.Module:
    if form.static:
        return static.StaticPrologue(a, form.cache.length)
    return device.DevicePrologue(a) if form.device else Prologue(a, dither=form.byte_cache)


def _layer(a: Architecture, form: GraphForm) -> dict[str, Part]:
    new, total, past = {0: BATCH, 1: SEQUENCE}, {0: BATCH, 2: TOTAL}, {0: BATCH, 2: PAST}
    by_head = {0: BATCH, 2: SEQUENCE}
    turns = (1, a.qk_rope_head_dim) if form.device else (a.qk_rope_head_dim // 2,)
    queries = lambda: [torch.ones(2, a.num_attention_heads, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)]
    keys = lambda: [torch.ones(2, 3, a.kv_lora_rank), torch.ones(2, 3, a.qk_rope_head_dim)]  # noqa: E731
    bias, bias_axes = lambda: torch.ones(2, 1, 3, 8), {0: BATCH, 2: SEQUENCE, 3: TOTAL}
    tensors = _layer_tensors(form.cache, 0)
    pasts = lambda length: [torch.ones(2, t.heads, length, t.width, dtype=TORCH_DTYPES[form.cache.dtype]) for t in tensors]

    layer = _around_attention(a, form, turns, device.TableProjections if form.device else None)
    if form.cache.form == "expanded":
        return layer | {
            "attend": Part(
                lambda: ExpandedCache(a),
                lambda: [*queries(), *keys(), bias(), *pasts(5)],
                [by_head, by_head, new, new, bias_axes, past, past],
            )
        }

    def attention(build: Callable[[latent.Heads], torch.nn.Module], *more: dict[int, str]) -> Part:
        heads = (lambda: latent.ByteHeads(a)) if form.integer_heads else (lambda: latent.FloatHeads(a))
        return Part(
            lambda: build(heads()),
            lambda: [*queries(), *pasts(8), bias(), *(torch.ones(8) for _ in more)],
            [by_head, by_head, total, bias_axes, *more],
        )

    rows = (lambda: latent.ByteRows(a)) if form.byte_cache else (lambda: latent.FloatRows(a))
    layer["store"] = Part(rows, lambda: [*keys(), *pasts(5)], [new, new, past])
    if form.byte_cache:
        layer["attend"] = attention(lambda heads: latent.Absorbed(a, heads, latent.OverBytes(a)), {0: TOTAL})
        layer["expanded"] = attention(lambda heads: latent.ExpandedBytes(a, heads, latent.ByteRows(a)))
    else:
        layer["attend"] = attention(lambda heads: latent.Absorbed(a, heads, latent.OverFloats(keys_first=form.cpu)))
        if form.cpu:
            layer["expanded"] = attention(lambda heads: latent.Expanded(a, heads, latent.FloatRows(a)))
    return layer


def _static_layer(a: Architecture, form: GraphForm) -> dict[str, Part]:
    length, heads, new = form.cache.length, a.num_attention_heads, {0: BATCH, 1: SEQUENCE}
    by_head = {0: BATCH, 2: SEQUENCE}
    past = lambda: torch.ones(2, 1, length, a.latent_dim)  # noqa: E731
    return _around_attention(a, form, (1, a.qk_rope_head_dim), device.TableProjections) | {
        "store": Part(
            static.StaticRows,
            lambda: [
                torch.ones(2, 3, a.kv_lora_rank),
                torch.ones(2, 3, a.qk_rope_head_dim),
                past(),
                torch.ones(2, 1, length, 1, dtype=torch.bool),
                torch.ones(1, 1, length, 3),
            ],
            [new, new, {0: BATCH}, {0: BATCH}, {3: SEQUENCE}],
        ),
        "attend": Part(
            lambda: static.StaticAbsorbed(a, latent.FloatHeads(a), latent.OverFloats(keys_first=False)),
            lambda: [
                *(torch.ones(2, heads, 3, width) for width in (a.qk_nope_head_dim, a.qk_rope_head_dim)),
                past(),
                torch.ones(2, 1, 3, length),
            ],
            [by_head, by_head, {0: BATCH}, by_head],
        ),
    }


def _around_attention(
    a: Architecture, form: GraphForm, turns: tuple[int, ...], projections: type[device.TableProjections] | None
) -> dict[str, Part]:
    """``turns``: the last axes of cosines and of sines."""
    new = {0: BATCH, 1: SEQUENCE}
    hidden = lambda: torch.ones(2, 3, a.hidden_size)  # noqa: E731
    return {
        "project": Part(
            lambda: Projection(a, _norm(form), projections),
            lambda: [hidden(), *(torch.ones(2, 3, *turns) for _ in ("cos", "sin"))],
            [new] * 3,
        ),
        "complete": Part(
            lambda: Completion(a, _norm(form), cpu=form.cpu),
            lambda: [hidden(), torch.ones(2, 3, a.num_attention_heads * a.v_head_dim)],
            [new] * 2,
        ),
    }


def _norm(form: GraphForm) -> type[RMSNorm]:
    """ONNX has an operator for it from opset 23 on."""
    return device.SimplifiedRMSNorm if form.device else RMSNorm


def _layer_tensors(cache: CacheLayout, layer: int) -> list[CacheTensor]:
    return [t for t in cache.tensors if t.layer == layer and t.role != "unused"]


def _assemble(a: Architecture, form: GraphForm, model: ModelParts) -> ir.Model:
    cache, floats, stored = form.cache, IR_DTYPES[form.float_dtype], IR_DTYPES[form.cache.dtype]
    inputs = {
        name: parts.declare(name, ir.DataType.INT64, [BATCH, length])
        for name, length in (("input_ids", SEQUENCE), ("attention_mask", TOTAL), ("position_ids", SEQUENCE))
    }
    past_length, total = (PAST, TOTAL) if cache.length is None else (cache.length, cache.length)
    pasts = {t.past: parts.declare(t.past, stored, [BATCH, t.heads, past_length, t.width]) for t in cache.tensors}
    graph = ir.Graph(
        [*inputs.values(), *pasts.values()], [], nodes=[], opset_imports={"": form.opset, "com.microsoft": 1}, name="youtu"
    )
    weights = graph.initializers
    hidden, cos, sin, bias, *more = parts.append(model.prologue, graph, weights, "model.", "embed.", list(inputs.values()))
    many = _many_tokens(graph, inputs["input_ids"]) if model.expanded is not None else None
    for_rows, dither = (more, []) if form.static else ([], more)
    presents: dict[str, ir.Value] = {}
    for index in range(a.num_hidden_layers):
        tensors, prefix = _layer_tensors(cache, index), f"model.layers.{index}."
        past = [pasts[t.past] for t in tensors]
        q_nope, q_rope, c_kv, k_rope = parts.append(model.project, graph, weights, prefix, "project.", [hidden, cos, sin])
        attention = f"{prefix}self_attn."
        if model.store is None:
            seen = [q_nope, q_rope, c_kv, k_rope, bias, *past]
            context, *made = parts.append(model.attend, graph, weights, attention, "expanded.", seen)
        else:
            made = parts.append(model.store, graph, weights, attention, "rows.", [c_kv, k_rope, *past, *for_rows])
            seen = [q_nope, q_rope, *made, bias]
            if model.expanded is None:
                [context] = parts.append(model.attend, graph, weights, attention, "absorbed.", [*seen, *dither])
            else:
                branches = [
                    parts.branch(part, weights, attention, name, values)
                    for name, part, values in (("expanded.", model.expanded, seen), ("absorbed.", model.attend, [*seen, *dither]))
                ]
                context = parts.choose(graph, many, *branches, name=f"{attention}context")
        presents.update(zip((t.present for t in tensors), made, strict=True))
        [hidden] = parts.append(model.complete, graph, weights, prefix, "complete.", [hidden, context])
    for t in cache.tensors:
        if t.role == "unused":  # the pair's other half in a model of an odd number of layers
            twin = next(other for other in cache.tensors if other.layer == t.layer and other.role == "latent")
            node = ir.node("Identity", [presents[twin.present]], outputs=[ir.Value(name=t.present)])
            graph.append(node)
            presents[t.present] = node.outputs[0]
    if form.cpu:
        hidden = _last_positions(graph, hidden)
    logits = append_head(graph, model.epilogue, hidden)
    parts.declare_output(graph, logits, "logits", floats, [BATCH, SEQUENCE, a.vocab_size])
    for t in cache.tensors:
        parts.declare_output(graph, presents[t.present], t.present, stored, [BATCH, t.heads, total, t.width])
    return ir.Model(graph, ir_version=10, producer_name="youtu-onnx")


def _many_tokens(graph: ir.Graph, input_ids: ir.Value) -> ir.Value:
    """Scalar: whether this step has so many new tokens that expanding is the faster order."""
    graph.append(length := ir.node("Shape", [input_ids], {"start": 1, "end": 2}, outputs=[ir.Value(name="step.length")]))
    scalar = ir.node("Squeeze", [length.outputs[0]], outputs=[ir.Value(name="step.new")])
    many = ir.node(
        "GreaterOrEqual",
        [scalar.outputs[0], parts.constant(graph, "step.many_from", np.array(EXPANDS_FROM, np.int64))],
        outputs=[ir.Value(name="step.many")],
    )
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
    bounds = [
        parts.constant(graph, f"head.{bound}", np.array([number], np.int64)) for bound, number in (("end", 2**31), ("axis", 1))
    ]
    graph.append(ir.node("Slice", [hidden, start, *bounds], outputs=[kept := ir.Value(name=name)]))
    return kept


def append_head(graph: ir.Graph, epilogue: ir.Model, hidden: ir.Value) -> ir.Value:
    """The logits; its matrix is called as Hugging Face calls it."""
    [logits] = parts.append(epilogue, graph, graph.initializers, "model.", "head.", [hidden])
    if "model.lm_head.weight" in graph.initializers:
        parts.rename(graph, "model.lm_head.weight", "lm_head.weight")
    return logits
