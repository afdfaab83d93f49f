"""Youtu-LLM's graphs and weights, as the exporter asks for them."""

from __future__ import annotations

import functools

import onnx_ir as ir

from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.graph import build_graph
from youtu_onnx.families.youtu.graph.parameters import parameters
from youtu_onnx.families.youtu.graph.slots import build_batch_graph
from youtu_onnx.graphs.parameter import Parameter


class YoutuGraphs:
    """Implements :class:`youtu_onnx.families.exportable.Exportable`.

    Graphs have no numbers in them, so checkpoints and recipes that differ in nothing else share one: a program that exports a
    model at several precisions traces it once.
    """

    def form(self, cache: CacheLayout, recipe: Recipe, target: Target) -> GraphForm:
        return GraphForm.of(cache, recipe, target)

    def parameters(self, architecture: Architecture, form: GraphForm) -> dict[str, Parameter]:
        return parameters(architecture, form)

    def graph(self, architecture: Architecture, form: GraphForm) -> ir.Model:
        return traced_graph(architecture, form).clone()  # the passes change it

    def batch_graph(self, architecture: Architecture, form: GraphForm) -> ir.Model | None:
        return traced_batch_graph(architecture, form).clone() if form.cpu else None


@functools.lru_cache(maxsize=4)
def traced_graph(architecture: Architecture, form: GraphForm) -> ir.Model:
    return build_graph(architecture, form)


@functools.lru_cache(maxsize=4)
def traced_batch_graph(architecture: Architecture, form: GraphForm) -> ir.Model:
    return build_batch_graph(architecture, form, BatchGraph(form.cache))


YOUTU_GRAPHS = YoutuGraphs()
