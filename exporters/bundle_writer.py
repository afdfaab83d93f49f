"""Checkpoint → the files of a bundle: trace, rewrite, stream the weights, and write what consumers read beside the graph."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from youtu_onnx.conformance import TABLES, conformance
from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.bundle import FileEntry, Manifest, ModelFacts, Source, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import CheckpointError, UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.core.version import __version__
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.genai_config import genai_config, one_shape
from youtu_onnx.exporters.model_card import write_model_card
from youtu_onnx.exporters.passes.embedding import embedding
from youtu_onnx.exporters.passes.floats import floats
from youtu_onnx.exporters.passes.linear import linear
from youtu_onnx.exporters.quantize.choice import quantizer_for
from youtu_onnx.exporters.weights import packed_bytes, write_weights
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.exported import exportable
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.parameter import Parameter

__all__ = ["Needs", "assemble", "needs", "with_file", "write_bundle", "write_model_card"]

TOOLS = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "transformers")
BASE_MEMORY = 600 * 10**6
"""Resident bytes of Python with torch and the ONNX libraries, and of tracing."""


@dataclass(frozen=True)
class Needs:
    """What writing a bundle takes, in bytes: peak resident memory, and disk for the bundle itself."""

    memory: int
    disk: int


def assemble(
    checkpoint: Checkpoint, recipe: Recipe, target: Target, form: str, progress: Progress, max_length: int | None = None
) -> Assembly:
    """Trace the model and apply the target's passes. No weight is read.

    Raises:
        UsageError: an exception in the recipe that names no matrix; a form, precision or length that the target can't serve.
        CheckpointError: a configuration that means something else to transformers.
    """
    refuse_misreadings(checkpoint)
    architecture, family = checkpoint.architecture, checkpoint.family
    family.check_cache_form(form, recipe, target)
    length = target.length(max_length, architecture.max_position_embeddings)
    cache = family.cache_layout(architecture, form, target.floats(recipe.precision), length)
    graphs = exportable(family)
    graph_form = graphs.form(cache, recipe, target)
    sources = graphs.parameters(architecture, graph_form)
    matrices = [name for graph_name, p in sources.items() if p.kind == "matrix" for name in (graph_name, *p.tensors)]
    unmatched = recipe.unmatched(matrices)
    if unmatched:
        raise UsageError(
            f"--int8 {','.join(unmatched)} names no matrix of this model",
            hint="use patterns such as lm_head, *.o_proj, model.layers.0.*, *.mlp.down_proj",
        )
    _refuse_columns(sources, recipe, target)
    progress.begin("trace")
    model = graphs.graph(architecture, graph_form)
    batch = graphs.batch_graph(architecture, graph_form) if target.serves else None
    progress.begin("rewrite")
    tied, quantizer = architecture.tie_word_embeddings, quantizer_for(recipe)
    floating = ir.DataType.FLOAT if graph_form.float_dtype == "float32" else ir.DataType.FLOAT16

    def passed(model: ir.Model) -> Assembly:
        assembly = Assembly(model, sources, floating, cache, graph_form.facts(target))
        linear(assembly, recipe, target, quantizer, tied=tied)
        embedding(assembly, recipe, target, quantizer, tied=tied)
        _refuse_odd_blocks(assembly.model, target)
        floats(assembly)
        return assembly

    assembly = passed(model)
    if batch is not None:
        assembly.batch = passed(batch)
    _refuse_what_the_target_does_not_take(assembly.model, target)
    return assembly


def refuse_misreadings(checkpoint: Checkpoint) -> None:
    """
    Raises:
        CheckpointError: the model that transformers makes of ``config.json`` is not the one that would be exported.
    """
    found = reference_of(checkpoint.family).misreadings(checkpoint)
    if found:
        listed = "\n  - ".join(found)
        raise CheckpointError(
            f"{checkpoint.path / names.CONFIG} means something else to transformers than to youtu-onnx:\n  - {listed}",
            hint="remove what the model's authors don't publish, or report this with the file",
        )


def _refuse_what_the_target_does_not_take(model: ir.Model, target: Target) -> None:
    """Not the user's mistake: a graph that this version shouldn't have made for this model."""
    if target.name not in TABLES:
        return
    found = conformance(model, TABLES[target.name])
    if found.faults:
        listed = "\n  - ".join(f"{one.operator} {one.node}: {one.reason}" for one in found.faults[:5])
        raise CheckpointError(
            f"{len(found.faults)} nodes of the graph are not what {found.table.release} takes:\n  - {listed}",
            hint=f"report this with the model's config.json; until then export for a target other than {target.name}",
        )


def _refuse_columns(sources: Mapping[str, Parameter], recipe: Recipe, target: Target) -> None:
    if not recipe.quantized:
        return
    odd = {name: p.shape[1] for name, p in sources.items() if p.kind == "matrix" and p.shape[1] % target.columns}
    if odd:
        some = ", ".join(f"{name} ({columns})" for name, columns in list(odd.items())[:3])
        raise UsageError(
            f"target {target.name} multiplies int4 and int8 matrices whose rows have a multiple of {target.columns} "
            f"numbers; {len(odd)} of this model's have not: {some}",
            hint="export with --precision fp16",
        )


def _refuse_odd_blocks(model: ir.Model, target: Target) -> None:
    """See :attr:`Target.even_blocks`."""
    for node in model.graph if target.even_blocks else ():
        if node.op_type == "GatherBlockQuantized" and node.attributes["bits"].as_int() == 4 and len(node.inputs) > 3:
            blocks, size = int(node.inputs[2].shape[1]), node.attributes["block_size"].as_int()
            if blocks % 2:
                raise UsageError(
                    f"a row of the embedding has {blocks} block{'s' * (blocks > 1)} of {size}, an odd number, which "
                    f"ONNX Runtime 1.24 to 1.26 reads wrongly on target {target.name}",
                    hint="leave --block-size away or make it smaller; or export with --symmetric or --target cpu",
                )


def needs(assembly: Assembly, checkpoint: Checkpoint, *, verified: bool) -> Needs:
    """Estimate before any weight is read; ``verified``: ONNX Runtime will hold the finished bundle, repacked, as well."""
    largest = max(
        sum(checkpoint.tensors[tensor].nbytes for tensor in packing.parameter.sources) * len(packing.parameter.tensors)
        + sum(piece.nbytes for piece in packing.pieces) * 2
        for packing in assembly.packings.values()
    )
    stored = packed_bytes(assembly)
    running = int(1.3 * stored) + 300 * 10**6 if verified else 0
    return Needs(BASE_MEMORY + max(500 * 10**6 + largest, running), stored + 64 * 10**6)


def write_bundle(
    assembly: Assembly, checkpoint: Checkpoint, recipe: Recipe, target: Target, folder: Path, progress: Progress
) -> Manifest:
    """Write everything but the manifest and the model card into ``folder``; returns the manifest so far.

    Raises:
        CheckpointError: weights that can't be read, or that are NaN or infinite.
        OSError: the disk is full.
    """
    cache = assembly.cache
    data = write_weights(assembly, checkpoint, folder, progress)
    progress.begin("graph")
    for model, name in ((assembly.model, names.MODEL), (assembly.batch and assembly.batch.model, names.BATCH)):
        if model is not None:
            for node in model.graph:
                node.metadata_props.clear()  # where in torch's source a node came from: paths of the exporting machine
            ir.save(model, folder / name)
    _carry(checkpoint, folder)
    if one_shape(cache):
        _write_json(folder / names.GENAI_CONFIG, genai_config(checkpoint.architecture, cache, target, _generation(folder)))
    progress.begin("hashes", total=sum(file.stat().st_size for file in checkpoint.weight_files))
    source = Source(
        checkpoint.name,
        checkpoint.revision,
        {file.name: describe_file(file, progress.advance) for file in checkpoint.weight_files},
    )
    files = {names.MODEL_DATA: data} | _describe(folder, skip=names.MODEL_DATA)
    tensors: dict[str, int] = {}
    for packing in assembly.packings.values():
        tensors[packing.label] = tensors.get(packing.label, 0) + 1
    return Manifest(
        model=ModelFacts.of(checkpoint.family.name, checkpoint.architecture.to_dict()),
        recipe=recipe,
        cache=cache,
        graph=assembly.facts,
        target=target.name,
        source=source,
        tools=_tools(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        files=dict(sorted(files.items())),
        tensors=tensors,
        slots=BatchGraph(cache).slots if assembly.batch else None,
    )


def with_file(manifest: Manifest, path: Path) -> Manifest:
    """The manifest with one more file, or a changed one."""
    return replace(manifest, files=dict(sorted((dict(manifest.files) | {path.name: describe_file(path)}).items())))


def _carry(checkpoint: Checkpoint, folder: Path) -> None:
    for name in names.CARRIED:
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, folder / name)
    if not (folder / names.GENERATION_CONFIG).is_file():
        a = checkpoint.architecture
        _write_json(
            folder / names.GENERATION_CONFIG,
            {"bos_token_id": a.bos_token_id, "eos_token_id": list(a.eos_token_ids), "pad_token_id": a.pad_token_id},
        )


def _generation(folder: Path) -> dict[str, object]:
    return json.loads((folder / names.GENERATION_CONFIG).read_text(encoding="utf-8"))


def _describe(folder: Path, skip: str) -> dict[str, FileEntry]:
    return {path.name: describe_file(path) for path in folder.iterdir() if path.is_file() and path.name != skip}


def _tools() -> dict[str, str]:
    found = {"python": platform.python_version(), "youtu-onnx": __version__}
    for tool in TOOLS:
        try:
            found[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write_json(path: Path, fields: object) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
