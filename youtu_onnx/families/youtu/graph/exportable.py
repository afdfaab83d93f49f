"""Youtu-LLM's graphs and weights, as the exporter asks for them."""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.adapted import adapted, adapted_heads
from youtu_onnx.families.youtu.graph.batch import build_batch_graph
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.graph import build_graph
from youtu_onnx.families.youtu.graph.parameters import parameters
from youtu_onnx.graphs.adapted_rows import AdaptedHeads, AdaptedRows
from youtu_onnx.graphs.parameter import Parameter
from youtu_onnx.graphs.traces import InMemory, Traces


class YoutuGraphs:
    """Implements :class:`youtu_onnx.families.exportable.Exportable`.

    Graphs have no numbers in them, so checkpoints and recipes that differ in nothing else share what is traced: a program that
    exports a model at several precisions traces it once.

    Attributes:
        traces: where traced parts are kept. Tests put another in its place, which all their processes share.
    """

    def __init__(self) -> None:
        self.traces: Traces = InMemory(most=8)

    def form(self, cache: CacheLayout, recipe: Recipe, target: Target) -> GraphForm:
        return GraphForm.of(cache, recipe, target)

    def adaptable(self, form: GraphForm) -> GraphForm:
        return form.adaptable()

    def parameters(self, architecture: Architecture, form: GraphForm) -> dict[str, Parameter]:
        return parameters(architecture, form)

    def adapted(self, architecture: Architecture, form: GraphForm) -> dict[str, tuple[AdaptedRows, ...]]:
        return adapted(architecture, form)

    def adapted_heads(self, architecture: Architecture, form: GraphForm) -> dict[str, AdaptedHeads]:
        return adapted_heads(architecture, form)

    def graph(self, architecture: Architecture, form: GraphForm) -> ir.Model:
        return build_graph(architecture, form, self.traces)

    def batch_graph(self, architecture: Architecture, form: GraphForm) -> ir.Model | None:
        if form.latent is None or not form.dialect.both_orders:
            return None
        return build_batch_graph(architecture, form, form.latent, BatchGraph(form.cache), self.traces)


YOUTU_GRAPHS = YoutuGraphs()
