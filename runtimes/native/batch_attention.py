"""``BatchLatentAttention``: all that is between a layer's projections and its context in the batch graph of the family ``youtu``.

One operator for all slots and the chunk. It is found as ``LatentAttention`` is, and its caches by the names that the exporter
gives to each lane's new rows.
"""

from __future__ import annotations

from youtu_onnx.core.batch_graph import CHUNK_MASK, SLOT_TOKENS
from youtu_onnx.runtimes.native.graph import Graph
from youtu_onnx.runtimes.native.latent_attention import CONTEXT, put_in


def replace_batch_attention(graph: Graph) -> None:
    """Of each layer of a batch graph."""
    if graph.input_type(SLOT_TOKENS) is None:
        return
    for node in graph.nodes:
        if node.op_type == "Concat" and node.output[0].endswith(CONTEXT):
            pasts, presents = _lanes(graph, node.output[0].removesuffix("context"))
            if pasts:
                put_in(graph, node, "BatchLatentAttention", [SLOT_TOKENS, CHUNK_MASK], pasts, presents)


def _lanes(graph: Graph, own: str) -> tuple[list[str], list[str]]:
    """Pasts and presents of all slots and, last, of the chunk; nothing where one of them isn't as it should be."""
    pasts: list[str] = []
    presents: list[str] = []
    for lane in (*map(str, range(graph.size(SLOT_TOKENS, 0))), "chunk"):
        joined = graph.consumer(f"{own}rows.{lane}", "Concat")
        if joined is None or len(joined.input) != 2 or graph.input_type(joined.input[0]) is None:
            return [], []
        pasts.append(joined.input[0])
        presents.append(joined.output[0])
    return pasts, presents
