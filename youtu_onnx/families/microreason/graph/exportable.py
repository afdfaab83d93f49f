"""MicroReason's graphs and weights, as the exporter asks for them."""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.graph.batch import build_batch_graph
from youtu_onnx.families.microreason.graph.form import GraphForm
from youtu_onnx.families.microreason.graph.graph import build_graph
from youtu_onnx.families.microreason.graph.parameters import adapted, parameters
from youtu_onnx.graphs.adapted_rows import AdaptedHeads, AdaptedRows
from youtu_onnx.graphs.parameter import Parameter
from youtu_onnx.graphs.traces import InMemory, Traces


class MicroReasonGraphs:
    """Implements :class:`youtu_onnx.families.exportable.Exportable`.

    Attributes:
        traces: where traced parts are kept. Tests put another in its place, which all their processes share.
    """

    def __init__(self) -> None:
        self.traces: Traces = InMemory(most=8)

    def form(self, cache: CacheLayout, recipe: Recipe, target: Target) -> GraphForm:
        return GraphForm.of(cache, recipe, target)

    def adaptable(self, form: GraphForm) -> GraphForm:
        """All that adapters change are plain matrices."""
        return form

    def parameters(self, architecture: Architecture, form: GraphForm) -> dict[str, Parameter]:
        return parameters(architecture, form)

    def adapted(self, architecture: Architecture, form: GraphForm) -> dict[str, tuple[AdaptedRows, ...]]:
        return adapted(architecture)

    def adapted_heads(self, architecture: Architecture, form: GraphForm) -> dict[str, AdaptedHeads]:
        return {}

    def graph(self, architecture: Architecture, form: GraphForm) -> ir.Model:
        return build_graph(architecture, form, self.traces)

    def batch_graph(self, architecture: Architecture, form: GraphForm) -> ir.Model | None:
        if not form.dialect.batches:
            return None
        return build_batch_graph(architecture, form, BatchGraph(form.cache), self.traces)


MICROREASON_GRAPHS = MicroReasonGraphs()
