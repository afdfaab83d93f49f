"""The names under which transformers.js (npm ``@huggingface/transformers``, from 4.2) looks for a model.

It reads ``onnx/model{suffix}.onnx`` with its data in ``onnx/model{suffix}.onnx_data``, takes the suffix from a dtype, and the
default dtype from ``config.json``. It makes empty pasts from the shapes of the graph's inputs, whichever of
``past_key_values.{i}.key|value`` are there: so half as many pairs as layers, one head and a width of its own suit it.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.exporters.layouts.plain_embedding import plain_embedding
from youtu_onnx.families.known import family_called
from youtu_onnx.graphs.builder import GraphBuilder

FOLDER = "onnx"
SUFFIXES = {"fp32": "", "fp16": "_fp16", "int8": "_int8", "q4": "_q4", "q4f16": "_q4f16"}
"""transformers.js's names of dtypes that a bundle may have, and what they add to the file's name."""
LOGITS_TO_KEEP = "num_logits_to_keep"
KEPT_FROM = "head.start"
"""In our graph: the first position of which logits are computed, [1], from the end."""


def dtype(manifest: Manifest) -> str:
    """The dtype that transformers.js calls this bundle's weights."""
    precision = manifest.recipe.precision
    if precision != "int4":
        return precision
    return "q4" if manifest.graph.float_dtype == "float32" else "q4f16"


def add(manifest: Manifest, folder: Path) -> Manifest:
    """Write the graph and a second name of its data, and complete ``config.json`` and ``tokenizer_config.json``."""
    model = f"model{SUFFIXES[dtype(manifest)]}.onnx"
    (folder / FOLDER).mkdir()
    _write_graph(folder / names.MODEL, folder / FOLDER / model, f"{model}_data", on_cpu=manifest.graph.provider == "cpu")
    _same_file(folder / names.MODEL_DATA, folder / FOLDER / f"{model}_data")

    config = _read(folder / names.CONFIG)
    config["model_type"] = family_called(manifest.model.family).transformers_type  # older checkpoints say youtu_llm
    config["transformers.js_config"] = {"dtype": dtype(manifest), "use_external_data_format": {model: 1}}
    _write(folder / names.CONFIG, config)

    written = [names.CONFIG, f"{FOLDER}/{model}"]
    template = folder / names.CHAT_TEMPLATE
    if template.is_file():
        tokenizer = _read(folder / names.TOKENIZER_CONFIG)
        tokenizer["chat_template"] = template.read_text(encoding="utf-8")  # it doesn't read the file beside it
        _write(folder / names.TOKENIZER_CONFIG, tokenizer)
        written.append(names.TOKENIZER_CONFIG)
    files = {name: describe_file(folder / name) for name in written}
    files[f"{FOLDER}/{model}_data"] = manifest.files[names.MODEL_DATA]
    return replace(manifest, files=dict(sorted((dict(manifest.files) | files).items())))


def _write_graph(source: Path, destination: Path, data: str, *, on_cpu: bool) -> None:
    """The graph with its weights in the file ``data``."""
    model = ir.load(source)
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            value.const_value = ir.ExternalTensor(
                data,
                tensor.offset,
                tensor.length,
                tensor.dtype,
                shape=tensor.shape,
                name=tensor.name,
                base_dir=destination.parent,
            )
    _take_logits_to_keep(model.graph)
    if on_cpu:  # elsewhere the provider has the operator, and not these on bytes
        plain_embedding(model.graph)
    ir.save(model, destination)


def _take_logits_to_keep(graph: ir.Graph) -> None:
    """Where ours reads off the mask of how many positions logits are wanted, it is an input of theirs, a scalar that they always
    give: a prompt's logits are then computed for one position."""
    ours = next((value for node in graph for value in node.outputs if value.name == KEPT_FROM), None)
    if ours is None:
        return
    theirs = ir.Value(name=LOGITS_TO_KEEP, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    graph.inputs.append(theirs)
    first = GraphBuilder.of(graph).at(graph[0])
    row = first.op("Unsqueeze", [theirs, first.integers(f"{LOGITS_TO_KEEP}.axes", 0)], f"{LOGITS_TO_KEEP}.row")  # [] → [1]
    ours.replace_all_uses_with(first.op("Neg", [row], f"{LOGITS_TO_KEEP}.start"))
    _remove_unused(graph, ours.producer())


def _remove_unused(graph: ir.Graph, node: ir.Node | None) -> None:
    """A node whose outputs nobody reads, and what was there for it alone."""
    if node is None or any(value.uses() for value in node.outputs):
        return
    makers = [value.producer() for value in node.inputs if value is not None]
    graph.remove(node, safe=True)
    for maker in makers:
        _remove_unused(graph, maker)


def _same_file(existing: Path, name: Path) -> None:
    """A second name of a file; a copy on disks whose files have one name."""
    try:
        os.link(existing, name)
    except OSError:
        shutil.copyfile(existing, name)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
