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
ROWS: dict[int | None, str] = {TensorProto.FLOAT16: "Half", TensorProto.UINT8: "Byte"}
"""What an operator is called that has rows of a type; nothing where they are floats."""


@dataclass(frozen=True)
class Projections:
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
    appended = _appended(graph, node)
    if appended is not None:
        past, present = appended
        put_in(graph, node, "LatentAttention", [MASK, past], [past], [present])


def put_in(graph: Graph, node: NodeProto, kind: str, told: list[str], pasts: list[str], presents: list[str]) -> None:
    """The operator ``kind``, or its form for smaller rows, in the place of all that makes a layer's context, ``node`` last;
    nothing where the layer isn't as an export writes it.

    Args:
        told: its inputs between the tables of angles and the latent's gain.
        pasts: of the caches; those that aren't among ``told`` are its last inputs.
        presents: beside the context what it makes.
    """
    own = node.output[0].removesuffix("context")
    weights = [f"{own}heads.{name}" for name in WEIGHTS]
    found = projections(graph, own.removesuffix("self_attn."))
    shape = sizes(graph, weights, found)
    if found is None or shape is None or graph.touched(f"{own}heads.", weights):
        return
    kind = kind.replace("Latent", ROWS.get(graph.input_type(pasts[0]), "") + "Latent")
    given = [found.query, found.kv, found.cos, found.sin, *told, found.gain, *weights]
    graph.replace(node, kind, [*given, *(past for past in pasts if past not in told)], [node.output[0], *presents], shape)


def sizes(graph: Graph, weights: list[str], found: Projections | None) -> dict[str, int | float] | None:
    """The operators' attributes."""
    uk, uv = graph.shape(weights[0]), graph.shape(weights[2])
    if found is None or uk is None or uv is None or None in map(graph.shape, weights) or len(uk) != 4 or len(uv) != 3:
        return None
    heads, parts, nope, part = uk
    return {
        "heads": heads,
        "nope": nope,
        "rope": found.rope,
        "rank": parts * part,
        "value": uv[2],
        "part": part,
        "offset": found.offset,
        "epsilon": found.epsilon,
    }


def _appended(graph: Graph, node: NodeProto) -> tuple[str, str] | None:
    """The cache that both orders of attention read: its past and its present."""
    for present in sorted(taken(node)):
        joined = graph.producer(present, "Concat")
        if joined is not None and len(joined.input) == 2 and graph.input_type(joined.input[0]) is not None:
            return joined.input[0], present
    return None


def projections(graph: Graph, layer: str) -> Projections | None:
    """From the rotation of queries and of the key beside them to where both are cut from."""
    rotations = [one for one in graph.nodes if one.op_type == "RotaryEmbedding" and one.name.startswith(layer)]
    if len(rotations) != 1:
        return None
    _, cos, sin = rotations[0].input[:3]
    both = graph.producer(rotations[0].input[0], "Concat")
    if both is None or len(both.input) != 2:
        return None
    query, kv = (graph.producer(name, "Split") for name in both.input)
    if query is None or kv is None:
        return None
    widths, norm = graph.integers(kv.input[1]), graph.consumer(kv.output[-2], *NORMS)
    if widths is None or norm is None:
        return None
    epsilon = attributes(norm).get("epsilon", 1e-5)
    return Projections(query.input[0], kv.input[0], sum(widths[:-2]), widths[-1], cos, sin, norm.input[1], epsilon)
