"""Checkpoint → a graph on its way to a bundle: trace, and rewrite. No weight is read."""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.core.progress import Progress
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.exporters import refusals
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.calibration import Calibration
from youtu_onnx.exporters.passes.adapters import adapters
from youtu_onnx.exporters.passes.embedding import embedding
from youtu_onnx.exporters.passes.floats import floats
from youtu_onnx.exporters.passes.linear import linear
from youtu_onnx.exporters.prequantized.choice import choice_of
from youtu_onnx.exporters.prequantized.remarks import packed_remarks
from youtu_onnx.exporters.quantize.choice import quantizer_for
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.exported import exportable


def assemble(
    checkpoint: Checkpoint,
    recipe: Recipe,
    target: Target,
    form: str,
    progress: Progress,
    max_length: int | None = None,
    calibration: Calibration | None = None,
    *,
    adaptable: bool = False,
) -> Assembly:
    """Trace the model and apply the target's passes. No weight is read. ``calibration``: for algorithms that need one.
    ``adaptable``: with inputs for LoRA adapters.

    Raises:
        UsageError: an exception in the recipe that names no matrix; a form, precision or length that the target can't serve.
    """
    architecture, family = checkpoint.architecture, checkpoint.family
    family.check_cache_form(form, recipe, target)
    length = target.length(max_length, architecture.max_position_embeddings)
    cache = family.cache_layout(architecture, form, target.floats(recipe.precision), length)
    graphs = exportable(family)
    graph_form = graphs.form(cache, recipe, target)
    if adaptable:
        graph_form = graphs.adaptable(graph_form)
    sources = graphs.parameters(architecture, graph_form)
    refusals.refuse_exceptions(sources, recipe)
    refusals.refuse_columns(sources, recipe, target)
    choice = choice_of(checkpoint, sources, recipe, target, quantizer_for(recipe))
    for remark in (*checkpoint.remarks, *packed_remarks(checkpoint, sources, choice)):
        progress.note(remark)
    progress.begin("trace")
    model = graphs.graph(architecture, graph_form)
    batch = graphs.batch_graph(architecture, graph_form) if target.serves else None
    progress.begin("rewrite")
    tied = architecture.tie_word_embeddings
    floating = ir.DataType.FLOAT if graph_form.float_dtype == "float32" else ir.DataType.FLOAT16

    def passed(model: ir.Model) -> Assembly:
        assembly = Assembly(model, sources, floating, cache, graph_form.facts(target))
        if adaptable:
            assembly.adapted = graphs.adapted(architecture, graph_form)
            assembly.adapted_heads = graphs.adapted_heads(architecture, graph_form)
            adapters(assembly, assembly.adapted, assembly.adapted_heads)
        linear(assembly, recipe, target, choice, tied=tied, calibration=calibration)
        embedding(assembly, recipe, target, choice, tied=tied)
        refusals.refuse_odd_blocks(assembly.model, target)
        floats(assembly)
        return assembly

    assembly = passed(model)
    if batch is not None:
        assembly.batch = passed(batch)
    refusals.refuse_what_the_target_does_not_take(assembly.model, target)
    return assembly
