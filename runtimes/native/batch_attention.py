"""``BatchLatentAttention``: all that is between a layer's projections and its context in the batch graph of the family ``youtu``.

One operator for all slots and the chunk. It is found as ``LatentAttention`` is, and its caches by the names that the exporter
gives to each lane's new rows.
"""

from __future__ import annotations

from onnx import NodeProto, TensorProto

from youtu_onnx.core.batch_graph import CHUNK_MASK, SLOT_TOKENS
from youtu_onnx.runtimes.native.graph import Graph
from youtu_onnx.runtimes.native.latent_attention import CONTEXT, WEIGHTS, projections, sizes


def replace_batch_attention(graph: Graph) -> None:
    """Of each layer of a batch graph."""
    if graph.input_type(SLOT_TOKENS) is None:
        return
    for node in graph.nodes:
        if node.op_type == "Concat" and node.output[0].endswith(CONTEXT):
            _replace(graph, node)


def _replace(graph: Graph, node: NodeProto) -> None:
    own = node.output[0].removesuffix("context")
    weights = [f"{own}heads.{name}" for name in WEIGHTS]
    lanes = _lanes(graph, own)
    found = projections(graph, own.removesuffix("self_attn."))
    shape = sizes(graph, weights, found)
    if not lanes or found is None or shape is None or graph.touched(f"{own}heads.", weights):
        return
    pasts, presents = zip(*lanes, strict=True)
    kind = "BatchByteLatentAttention" if graph.input_type(pasts[0]) == TensorProto.UINT8 else "BatchLatentAttention"
    given = [found.query, found.kv, found.cos, found.sin, SLOT_TOKENS, CHUNK_MASK, found.gain]
    graph.replace(node, kind, [*given, *weights, *pasts], [node.output[0], *presents], shape)


def _lanes(graph: Graph, own: str) -> list[tuple[str, str]]:
    """Past and present of each slot and, last, of the chunk; nothing where one of them isn't as it should be."""
    found: list[tuple[str, str]] = []
    for lane in (*map(str, range(graph.size(SLOT_TOKENS, 0))), "chunk"):
        joined = graph.consumer(f"{own}rows.{lane}", "Concat")
        if joined is None or len(joined.input) != 2 or graph.input_type(joined.input[0]) is None:
            return []
        found.append((joined.input[0], joined.output[0]))
    return found
