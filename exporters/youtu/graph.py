"""The whole model's graph from three traces: what precedes the layers, one layer repeated, what follows."""

from __future__ import annotations

import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass

from exporters.passes.static_reshape import static_reshape
from exporters.trace import OPSET, trace
from exporters.youtu.modules import DecoderLayer, Epilogue, ExpandedAttention, LatentAttention, Prologue
from youtu_onnx.architecture import Architecture
from youtu_onnx.cache import CacheLayout, CacheTensor

BATCH, SEQUENCE, PAST, TOTAL = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"
TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16}


def build_graph(architecture: Architecture, cache: CacheLayout) -> ir.Model:
    """Trace and assemble; weights are initializers without data, named as in ``parameters.py``.

    Inputs ``input_ids`` [B,S], ``attention_mask`` [B,T], ``position_ids`` [B,S] (int64) and the layout's past tensors;
    outputs ``logits`` [B,S,vocab] and the layout's presents. Floats are of the cache's dtype.
    """
    a, dtype = architecture, TORCH_DTYPES[cache.dtype]
    ids = lambda length: torch.ones(2, length, dtype=torch.int64)  # noqa: E731
    prologue = trace(lambda: Prologue(a), lambda: (ids(3), ids(8), ids(3)), dtype=dtype,
                     dynamic=[{0: BATCH, 1: SEQUENCE}, {0: BATCH, 1: TOTAL}, {0: BATCH, 1: SEQUENCE}])
    layer = _trace_layer(a, cache, dtype)
    epilogue = trace(lambda: Epilogue(a), lambda: (torch.ones(2, 3, a.hidden_size),), dtype=dtype,
                     dynamic=[{0: BATCH, 1: SEQUENCE}])
    for part in (prologue, layer, epilogue):
        static_reshape(part)
        RemoveUnusedNodesPass()(part)
    return _assemble(a, cache, prologue, layer, epilogue)


def _trace_layer(a: Architecture, cache: CacheLayout, dtype: torch.dtype) -> ir.Model:
    attention = LatentAttention if cache.form == "latent" else ExpandedAttention
    tensors = _layer_tensors(cache, 0)

    def inputs() -> list[torch.Tensor]:
        rope = [torch.ones(2, 3, a.qk_rope_head_dim // 2) for _ in ("cos", "sin")]
        pasts = [torch.ones(2, t.heads, 5, t.width) for t in tensors]
        return [torch.ones(2, 3, a.hidden_size), *rope, torch.ones(2, 1, 3, 8), *pasts]

    sequence = {0: BATCH, 1: SEQUENCE}
    dynamic = [sequence, sequence, sequence, {0: BATCH, 2: SEQUENCE, 3: TOTAL}, *[{0: BATCH, 2: PAST} for _ in tensors]]
    return trace(lambda: DecoderLayer(a, attention), inputs, dtype=dtype, dynamic=dynamic)


def _layer_tensors(cache: CacheLayout, layer: int) -> list[CacheTensor]:
    return [t for t in cache.tensors() if t.layer == layer and t.role != "unused"]


def _assemble(a: Architecture, cache: CacheLayout, prologue: ir.Model, layer: ir.Model, epilogue: ir.Model) -> ir.Model:
    floats = ir.DataType.FLOAT if cache.dtype == "float32" else ir.DataType.FLOAT16
    inputs = {name: _value(name, ir.DataType.INT64, [BATCH, length]) for name, length in
              (("input_ids", SEQUENCE), ("attention_mask", TOTAL), ("position_ids", SEQUENCE))}
    pasts = {t.past: _value(t.past, floats, [BATCH, t.heads, PAST, t.width]) for t in cache.tensors()}
    graph = ir.Graph([*inputs.values(), *pasts.values()], [], nodes=[], opset_imports={"": OPSET}, name="youtu")
    hidden, *context = _copy(prologue, graph, "model.", list(inputs.values()))
    presents: dict[str, ir.Value] = {}
    for index in range(a.num_hidden_layers):
        tensors = _layer_tensors(cache, index)
        hidden, *made = _copy(layer, graph, f"model.layers.{index}.", [hidden, *context, *(pasts[t.past] for t in tensors)])
        presents.update(zip((t.present for t in tensors), made, strict=True))
    for t in cache.tensors():
        if t.role == "unused":  # the pair's other half in a model of an odd number of layers
            twin = next(other for other in cache.tensors() if other.layer == t.layer and other.role == "latent")
            node = ir.node("Identity", [presents[twin.present]], outputs=[ir.Value(name=t.present)])
            graph.append(node)
            presents[t.present] = node.outputs[0]
    [logits] = _copy(epilogue, graph, "model.", [hidden])
    _output(graph, logits, "logits", floats, [BATCH, SEQUENCE, a.vocab_size])
    for t in cache.tensors():
        _output(graph, presents[t.present], t.present, floats, [BATCH, t.heads, TOTAL, t.width])
    if "model.lm_head.weight" in graph.initializers:
        _rename(graph, "model.lm_head.weight", "lm_head.weight")
    return ir.Model(graph, ir_version=10, producer_name="youtu-onnx")


def _copy(part: ir.Model, graph: ir.Graph, prefix: str, inputs: list[ir.Value]) -> list[ir.Value]:
    """Append a part's nodes to ``graph`` with prefixed names, fed with ``inputs``; returns its outputs.

    The part's small constants (those with data) are shared by all copies; its weights are not.
    """
    values: dict[ir.Value, ir.Value] = dict(zip(part.graph.inputs, inputs, strict=True))
    kind = "layers." if "layers." in prefix else f"{'head' if len(inputs) == 1 else 'embed'}."
    for name, value in part.graph.initializers.items():
        own = f"{kind}{name}" if value.const_value is not None else f"{prefix}{name}"
        if own not in graph.initializers:
            graph.initializers[own] = ir.Value(name=own, shape=value.shape, type=value.type, const_value=value.const_value)
        values[value] = graph.initializers[own]
    for node in part.graph:
        outputs = [ir.Value(name=f"{prefix}{o.name}", shape=o.shape, type=o.type) for o in node.outputs]
        values.update(zip(node.outputs, outputs, strict=True))
        graph.append(ir.Node(node.domain, node.op_type, [None if i is None else values[i] for i in node.inputs],
                             node.attributes.values(), outputs=outputs, name=f"{prefix}{node.outputs[0].name}/{node.op_type}"))
    return [values[output] for output in part.graph.outputs]


def _value(name: str, dtype: ir.DataType, dims: list[int | str]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))


def _output(graph: ir.Graph, value: ir.Value, name: str, dtype: ir.DataType, dims: list[int | str]) -> None:
    value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(dims)
    graph.outputs.append(value)


def _rename(graph: ir.Graph, old: str, new: str) -> None:
    value = graph.initializers.pop(old)
    value.name = new
    graph.initializers[new] = value
