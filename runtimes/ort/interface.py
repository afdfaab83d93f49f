"""Names of a graph's inputs and outputs, and whether a session has those that its manifest says."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort

from youtu_onnx.core import batch_graph
from youtu_onnx.core.batch_graph import BatchGraph
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError

INPUT_IDS, ATTENTION_MASK, POSITION_IDS, LOGITS = "input_ids", "attention_mask", "position_ids", "logits"
LOGITS_TO_KEEP = "logits_to_keep"
"""An optional input of graphs that don't read it off the mask: of how many last positions to compute logits, 0 for all."""


def has_logits_to_keep(session: ort.InferenceSession) -> bool:
    """Whether the graph has :data:`LOGITS_TO_KEEP`."""
    return LOGITS_TO_KEEP in _names(session.get_overridable_initializers())


def check_interface(session: ort.InferenceSession, bundle: Bundle) -> None:
    """
    Raises:
        BundleError: ``model.onnx`` has other inputs or outputs than the manifest's, or reserves another length of cache.
    """
    cache, graph = bundle.manifest.cache, bundle.path / names.MODEL
    reserved = cache.length or "none"
    inputs = {INPUT_IDS, ATTENTION_MASK, POSITION_IDS} | {tensor.past for tensor in cache.tensors}
    outputs = {LOGITS} | {tensor.present for tensor in cache.tensors}
    found = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    for kind, expected in (("inputs", inputs), ("outputs", outputs)):
        if difference := expected ^ _names(found[kind]):
            raise BundleError(
                f"{graph} and its manifest disagree on {kind}: {', '.join(sorted(difference)[:4])}",
                hint="export the bundle again",
            )
    lengths = {dim if isinstance(dim, int) else None for one in found["inputs"] for dim in one.shape[2:3]}
    if lengths != {cache.length}:
        raise BundleError(
            f"{graph} and its manifest disagree on the cache's reserved length, which is {reserved} in the manifest",
            hint="export the bundle again",
        )


def check_batch_interface(session: ort.InferenceSession, bundle: Bundle, graph: BatchGraph) -> None:
    """
    Raises:
        BundleError: ``batch.onnx`` has other inputs or outputs than a batch graph of so many slots.
    """
    tensors = [tensor for lane in (*range(graph.slots), None) for tensor in graph.tensors(lane)]
    inputs = {*batch_graph.INPUTS, *(tensor.past for tensor in tensors)}
    outputs = {LOGITS, *(tensor.present for tensor in tensors)}
    for found, expected in ((session.get_inputs(), inputs), (session.get_outputs(), outputs)):
        if difference := expected ^ _names(found):
            raise BundleError(
                f"{bundle.path / names.BATCH} is not a batch graph of {graph.slots} slots: {', '.join(sorted(difference)[:4])}",
                hint="export the bundle again",
            )


def _names(arguments: list[Any]) -> set[str]:
    return {one.name for one in arguments}
