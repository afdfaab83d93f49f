"""``LatentAttention``: all that is between a layer's projections and its context, in a graph of one sequence of ``youtu``.

The graph has both orders of attention behind an ``If``; the operator chooses by itself. What it is given is found from the two
ends, the projections that are rotated and the ``If``, whose names the exporter gives: what lies between is known by them.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto, TensorProto

from youtu_onnx.runtimes.native.graph import Graph, attributes, taken
from youtu_onnx.runtimes.native.linear import NORMS

CONTEXT = ".self_attn.context"
"""How the value ends that an ``If`` makes."""
WEIGHTS = ("w_uk_q8", "w_uk_offsets", "w_uv_q8", "w_uv_offsets", "w_uv_scales")
MASK = "attention_mask"


@dataclass(frozen=True)
class _Projections:
    """Values that a layer's attention is computed from. ``query`` and ``kv`` may be one; ``offset``: the latent's first column in
    ``kv``; ``rope``: columns of a rotated key."""

    query: str
    kv: str
    offset: int
    rope: int
    cos: str
    sin: str
    gain: str
    epsilon: float


def replace_attention(graph: Graph) -> None:
    """Of each layer that has it."""
    for node in graph.nodes:
        if node.op_type == "If" and node.output[0].endswith(CONTEXT):
            _replace(graph, node)


def _replace(graph: Graph, node: NodeProto) -> None:
    prefix = node.output[0].removesuffix("context") + "heads."
    weights = [f"{prefix}{name}" for name in WEIGHTS]
    if any(name.startswith(prefix) and name not in weights for name in taken(node)):
        return  # what an adapter adds to W_UK and W_UV, which the operator doesn't know
    shapes = [graph.shape(name) for name in weights]
    appended = _appended(graph, node)
    found = _projections(graph, node.output[0].removesuffix("self_attn.context"))
    if None in shapes or appended is None or found is None:
        return
    past, present = appended
    heads, parts, nope, part = shapes[0]  # type: ignore[misc]
    value, rank = shapes[2][2], parts * part  # type: ignore[index]
    graph.replace(
        node,
        "ByteLatentAttention" if graph.input_type(past) == TensorProto.UINT8 else "LatentAttention",
        [found.query, found.kv, found.cos, found.sin, MASK, past, found.gain, *weights],
        [node.output[0], present],
        {
            "heads": heads,
            "nope": nope,
            "rope": found.rope,
            "rank": rank,
            "value": value,
            "part": part,
            "offset": found.offset,
            "epsilon": found.epsilon,
        },
    )


def _appended(graph: Graph, node: NodeProto) -> tuple[str, str] | None:
    """The cache that both orders of attention read: its past and its present."""
    for present in sorted(taken(node)):
        joined = graph.producer(present, "Concat")
        if joined is not None and len(joined.input) == 2 and graph.input_type(joined.input[0]) is not None:
            return joined.input[0], present
    return None


def _projections(graph: Graph, layer: str) -> _Projections | None:
    """From the rotation of queries and of the key beside them to where both are cut from."""
    for node in graph.nodes:
        if node.op_type != "RotaryEmbedding" or not node.name.startswith(layer):
            continue
        both = graph.producer(node.input[0], "Concat")
        cuts = [graph.producer(name, "Split") for name in both.input] if both is not None and len(both.input) == 2 else [None]
        if None in cuts:
            return None
        query, kv = cuts
        sizes = graph.integers(kv.input[1])  # type: ignore[union-attr]
        norm = graph.consumer(kv.output[-2], *NORMS)  # type: ignore[union-attr]
        if sizes is None or norm is None:
            return None
        epsilon = attributes(norm).get("epsilon", 1e-5)
        offset, rope = sum(sizes[:-2]), sizes[-1]
        return _Projections(query.input[0], kv.input[0], offset, rope, node.input[1], node.input[2], norm.input[1], epsilon)  # type: ignore[union-attr]
    return None
