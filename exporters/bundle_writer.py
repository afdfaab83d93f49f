"""The files of a bundle: graphs, weights, what consumers read beside them; and the manifest that lists them."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.bundle import FileEntry, Manifest, ModelFacts, Source, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.bundle.manifest import MergedAdapter
from youtu_onnx.core.progress import Progress
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.core.version import __version__
from youtu_onnx.exporters.adapter_inputs import write_adapter_inputs
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.carried import Carried, carry
from youtu_onnx.exporters.unfinished import Unfinished
from youtu_onnx.exporters.weights import write_weights
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Weights

TOOLS = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "transformers")


def write_bundle(
    assembly: Assembly,
    checkpoint: Checkpoint,
    weights: Weights,
    carried: Carried,
    recipe: Recipe,
    target: Target,
    folder: Path,
    progress: Progress,
    unfinished: Unfinished | None = None,
) -> Manifest:
    """Write everything but the manifest and the model card into ``folder``; returns the manifest so far. ``weights``: the
    checkpoint's, or the same model's in other numbers. ``unfinished``: see
    :func:`youtu_onnx.exporters.weights.write_weights`.

    Raises:
        CheckpointError: weights that can't be read, or that are NaN or infinite.
        OSError: the disk is full.
    """
    data = write_weights(assembly, weights, folder, progress, unfinished)
    progress.begin("graph")
    _write_graph(assembly.model, folder / names.MODEL)
    if assembly.batch is not None:
        _write_graph(assembly.batch.model, folder / names.BATCH)
    carry(carried, checkpoint, assembly.cache, target, folder)
    if assembly.adapted:
        write_adapter_inputs(assembly, checkpoint, folder)
    progress.begin("hashes", total=sum(file.stat().st_size for file in checkpoint.weight_files))
    read = {file.name: describe_file(file, progress.advance) for file in checkpoint.weight_files}
    files = {names.MODEL_DATA: data} | _describe(folder, skip=names.MODEL_DATA)
    tensors: dict[str, int] = {}
    for packing in assembly.packings.values():
        tensors[packing.label] = tensors.get(packing.label, 0) + 1
    return Manifest(
        model=ModelFacts.of(checkpoint.family.name, checkpoint.architecture.to_dict()),
        recipe=recipe,
        cache=assembly.cache,
        graph=assembly.facts,
        target=target.name,
        source=Source(checkpoint.name, checkpoint.revision, read, _merged(checkpoint)),
        tools=_tools(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        files=dict(sorted(files.items())),
        tensors=tensors,
        slots=BatchGraph(assembly.cache).slots if assembly.batch else None,
        adapters=() if assembly.adapted else None,
    )


def _merged(checkpoint: Checkpoint) -> MergedAdapter | None:
    change = checkpoint.change
    return None if change is None else MergedAdapter(change.name, change.sha256)


def with_file(manifest: Manifest, path: Path) -> Manifest:
    """The manifest with one more file, or a changed one."""
    return replace(manifest, files=dict(sorted((dict(manifest.files) | {path.name: describe_file(path)}).items())))


def _write_graph(model: ir.Model, path: Path) -> None:
    for node in model.graph:
        node.metadata_props.clear()  # where in torch's source a node came from: paths of the exporting machine
    ir.save(model, path)


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
