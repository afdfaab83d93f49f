"""A bundle's graph with operators of this project's own in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from youtu_onnx.runtimes.native.graph import Graph
from youtu_onnx.runtimes.native.latent_attention import replace_attention
from youtu_onnx.runtimes.native.linear import replace_products


@dataclass(frozen=True)
class Rewritten:
    """A serialized model whose weights are where they were, and how many operators of each kind are in it."""

    model: bytes
    operators: Mapping[str, int]


def rewrite(path: Path) -> Rewritten | None:
    """Put the operators in wherever they compute what the graph does; None where that is nowhere."""
    model = onnx.load(path, load_external_data=False)
    graph = Graph(model)
    replace_products(graph)
    replace_attention(graph)
    if not graph.made:
        return None
    graph.finish()
    return Rewritten(model.SerializeToString(), dict(graph.made))
