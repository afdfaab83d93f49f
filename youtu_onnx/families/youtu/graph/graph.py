"""The whole model's graph from traced parts: what precedes the layers, one layer repeated, what follows.

A layer over a latent cache is three parts in a row, and its attention is there in both orders where the dialect has them::

    hidden ─ Projection ─┬─ rows (append to the cache) ─┬─ If(many new tokens) ─ then Expanded ─┬─ Completion ─ hidden
                         └─ queries ────────────────────┘                      └ else Absorbed ─┘

Weights are initializers of the outer graph, whichever branch reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from youtu_onnx.core.cache import UNUSED, CacheLayout, CacheTensor
from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import EXPANDS_FROM, LATENT
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.traced import ModelParts, traced_model
from youtu_onnx.graphs.axes import BATCH, IR_DTYPES, PAST, SEQUENCE, TOTAL
from youtu_onnx.graphs.builder import GraphBuilder, declared
from youtu_onnx.graphs.head import append_head, last_positions
from youtu_onnx.graphs.parts import Place, put, put_branch
from youtu_onnx.graphs.traces import Traces


def build_graph(architecture: Architecture, form: GraphForm, traces: Traces) -> ir.Model:
    """Trace and assemble; weights are initializers without data, named as in ``parameters.py``.

    Inputs ``input_ids`` [B,S], ``attention_mask`` [B,T], ``position_ids`` [B,S] (int64) and the layout's past tensors;
    outputs ``logits`` [B,S,vocab] and the layout's presents. Any number but 0 in the mask lets a token be seen. Where the dialect
    has both orders of attention, a last column of 1 + k (in one row at least) asks for logits of the last k positions only.
    An optional input would say so more plainly, but ONNX Runtime warns of one at each start, and its bindings for Java and
    JavaScript have no way to give it. A static cache's pasts and presents have its length, and the mask may have it from the
    first step on.
    """
    return _Assembler(architecture, form, traced_model(architecture, form, traces)).model()


@dataclass(frozen=True)
class _Step:
    """What the prologue computes once for all layers.

    Attributes:
        placing: which rows of a static cache are kept and which are written.
        dither: a threshold for each token, for attention over bytes.
        many: whether there are so many new tokens that expanding is the faster order; None where there is one order.
    """

    cos: ir.Value
    sin: ir.Value
    bias: ir.Value
    placing: tuple[ir.Value, ...]
    dither: tuple[ir.Value, ...]
    many: ir.Value | None


class _Assembler:
    """Builds one graph; holds what all layers share."""

    def __init__(self, a: Architecture, form: GraphForm, parts: ModelParts) -> None:
        self.a, self.form, self.parts = a, form, parts
        self.inputs = [
            declared(name, ir.DataType.INT64, [BATCH, length])
            for name, length in (("input_ids", SEQUENCE), ("attention_mask", TOTAL), ("position_ids", SEQUENCE))
        ]
        cache, stored = form.cache, IR_DTYPES[form.cache.dtype]
        self.pasts = {t.past: declared(t.past, stored, [BATCH, t.heads, cache.length or PAST, t.width]) for t in cache.tensors}
        imports = {"": form.dialect.opset, MICROSOFT: 1}
        graph = ir.Graph([*self.inputs, *self.pasts.values()], [], nodes=[], opset_imports=imports, name="youtu")
        self.builder = GraphBuilder.of(graph)
        self.presents: dict[str, ir.Value] = {}

    def model(self) -> ir.Model:
        a, builder, cache = self.a, self.builder, self.form.cache
        hidden, step = self.prologue()
        for index in range(a.num_hidden_layers):
            hidden = self.layer(index, hidden, step)
        for t in cache.tensors:
            if t.role == UNUSED:  # the pair's other half in a model of an odd number of layers
                twin = next(other for other in cache.tensors if other.layer == t.layer and other.role == LATENT)
                self.presents[t.present] = builder.op("Identity", [self.presents[twin.present]], t.present)
        if self.form.dialect.both_orders:
            hidden = last_positions(builder, hidden, self.inputs[1])
        logits = append_head(builder, self.parts.epilogue, hidden)
        builder.output(logits, "logits", IR_DTYPES[self.form.float_dtype], [BATCH, SEQUENCE, a.vocab_size])
        for t in cache.tensors:
            length: int | str = cache.length or TOTAL
            dims = (BATCH, t.heads, length, t.width)
            builder.output(self.presents[t.present], t.present, IR_DTYPES[cache.dtype], dims)
        return ir.Model(builder.graph, ir_version=10, producer_name="youtu-onnx")

    def prologue(self) -> tuple[ir.Value, _Step]:
        hidden, cos, sin, bias, *more = put(self.builder, self.parts.prologue, Place("model.", "embed."), self.inputs)
        many = self.many_tokens() if self.parts.expanded is not None else None
        placing, dither = (tuple(more), ()) if self.form.dialect.places_rows else ((), tuple(more))
        return hidden, _Step(cos, sin, bias, placing, dither, many)

    def layer(self, index: int, hidden: ir.Value, step: _Step) -> ir.Value:
        builder, prefix, tensors = self.builder, f"model.layers.{index}.", _layer_tensors(self.form.cache, index)
        past = [self.pasts[t.past] for t in tensors]
        q_nope, q_rope, c_kv, k_rope = put(builder, self.parts.project, Place(prefix, "project."), [hidden, step.cos, step.sin])
        own = f"{prefix}self_attn."
        if self.parts.store is None:
            seen = [q_nope, q_rope, c_kv, k_rope, step.bias, *past]
            context, *made = put(builder, self.parts.attend, Place(own, "expanded."), seen)
        else:
            made = put(builder, self.parts.store, Place(own, "rows."), [c_kv, k_rope, *past, *step.placing])
            context = self.attention(own, [q_nope, q_rope, *made, step.bias], step)
        self.presents.update(zip((t.present for t in tensors), made, strict=True))
        [hidden] = put(builder, self.parts.complete, Place(prefix, "complete."), [hidden, context])
        return hidden

    def attention(self, own: str, seen: list[ir.Value], step: _Step) -> ir.Value:
        """Over a latent cache."""
        absorbed, expanded = Place(own, "absorbed."), Place(own, "expanded.")
        if self.parts.expanded is None or step.many is None:
            [context] = put(self.builder, self.parts.attend, absorbed, [*seen, *step.dither])
            return context
        then = put_branch(self.builder, self.parts.expanded, expanded, seen)
        otherwise = put_branch(self.builder, self.parts.attend, absorbed, [*seen, *step.dither])
        return self.builder.choose(step.many, then, otherwise, f"{own}context")

    def many_tokens(self) -> ir.Value:
        builder = self.builder
        scalar = builder.op("Squeeze", [builder.op("Shape", self.inputs[:1], "step.length", {"start": 1, "end": 2})], "step.new")
        return builder.op("GreaterOrEqual", [scalar, builder.integer("step.many_from", EXPANDS_FROM)], "step.many")


def _layer_tensors(cache: CacheLayout, layer: int) -> list[CacheTensor]:
    return [t for t in cache.tensors if t.layer == layer and t.role != UNUSED]
