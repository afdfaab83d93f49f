"""Looking into a bundle's graph without its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError

if TYPE_CHECKING:
    import onnx


def operators(bundle: Bundle) -> dict[str, int] | None:
    """Operators and how often each occurs, most frequent first; None where ``onnx`` isn't installed."""
    graph = load_graph(bundle)
    if graph is None:
        return None
    return dict(Counter(node.op_type for node in nodes(graph)).most_common())


def load_graph(bundle: Bundle) -> onnx.GraphProto | None:
    """The graph without its weights; None without ``onnx``.

    Raises:
        BundleError: the file is no ONNX model.
    """
    try:
        import onnx
    except ImportError:
        return None
    try:
        return onnx.load(str(bundle.file(names.MODEL)), load_external_data=False).graph
    except Exception as error:  # protobuf raises its own classes
        raise BundleError(
            f"{bundle.file(names.MODEL)} is no ONNX model ({error})", hint="copy or export the bundle again"
        ) from error


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The graph's, and those of its branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)
