"""A bundle's graph with operators of this project's own in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from youtu_onnx.runtimes.native.batch_attention import replace_batch_attention
from youtu_onnx.runtimes.native.graph import Graph
from youtu_onnx.runtimes.native.latent_attention import replace_attention
from youtu_onnx.runtimes.native.linear import replace_products

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rewritten:
    """A serialized model whose weights are where they were, and how many operators of each kind are in it."""

    model: bytes
    operators: Mapping[str, int]


def rewrite(path: Path) -> Rewritten | None:
    """Put the operators in wherever they compute what the graph does; None where that is nowhere."""
    try:
        model = onnx.load(path, load_external_data=False)
        graph = Graph(model)
        replace_products(graph)
        replace_attention(graph)
        replace_batch_attention(graph)
        if not graph.made:
            return None
        graph.finish()
    except (DecodeError, IndexError, KeyError, TypeError, ValueError) as error:
        _log.warning("%s isn't as an export writes it, so it is run as it is: %s", path, error)
        return None  # ONNX Runtime says what is wrong with it, or runs it
    return Rewritten(model.SerializeToString(), dict(graph.made))
