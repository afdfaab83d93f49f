"""Graphs over a masked cache: a row for each token, for every target, equal to training's model however a text is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.exported import Graph, load
from tests.families.microreason.conftest import Exported
from tests.families.microreason.tiny import VOCABULARY, training_model
from youtu_onnx.core.bundle import Manifest, names

Checkpoints = Callable[[bool], Path]
ONE_CODE = 0.05
"""Activations are rounded to bytes: where the last bit of a sum differs, one may become the next code."""
IDS = np.random.default_rng(7).integers(0, VOCABULARY, (1, 41))


def wanted(folder: Path, ids: np.ndarray) -> np.ndarray:
    """Logits ``[B, S, V]`` of training's model."""
    with torch.no_grad():
        made: np.ndarray = training_model(folder)(torch.from_numpy(ids)).numpy()
    return made


@pytest.mark.parametrize("routing", [True, False])
def test_whole_chunked_and_token_by_token_are_training_s_model(
    checkpoint: Checkpoints, exported: Exported, routing: bool
) -> None:
    graph = Graph(*exported("fp32", "masked", routing=routing))
    logits = wanted(checkpoint(routing), IDS)
    for size in (41, 9, 1):
        assert np.abs(graph.chunks(IDS, size) - logits).max() < 1e-4


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_rounded_weights_stay_near_and_are_cut_as_one_likes(checkpoint: Checkpoints, exported: Exported, precision: str) -> None:
    graph = Graph(*exported(precision, "masked"))
    whole = graph.chunks(IDS, 41)
    off = np.abs(graph.chunks(IDS, 9) - whole)
    assert off.max() < 4 * ONE_CODE and off.mean() < ONE_CODE / 5, "an activation half-way between two codes may become the other"
    correlation = np.corrcoef(whole.ravel(), wanted(checkpoint(True), IDS).ravel())[0, 1]
    assert correlation > {"int8": 0.995, "int4": 0.8}[precision]


def batch(lengths: list[int]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Prompts, and the same padded on the left with their mask."""
    draw, width = np.random.default_rng(3), max(lengths)
    prompts = [draw.integers(0, VOCABULARY, length) for length in lengths]
    ids, mask = np.zeros((len(lengths), width), np.int64), np.zeros((len(lengths), width), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = prompt, 1
    return prompts, ids, mask


def check_batch(graph: Graph, folder: Path, steps: int = 12) -> None:
    """A batch with padding on the left, and steps of one token after, are what each sequence is alone."""
    prompts, ids, mask = batch([3, 17, 30])
    more = np.random.default_rng(4).integers(0, VOCABULARY, (3, steps))
    logits, past = graph.step(ids, graph.empty(3), mask)
    found = [logits[:, -1:]]
    for column in more.T:
        mask = np.concatenate([mask, np.ones((3, 1), np.int64)], 1)
        positions = np.maximum(mask.cumsum(1) - 1, 0)[:, -1:]
        feeds = {"input_ids": column[:, None], "attention_mask": mask, "position_ids": positions}
        feeds |= {t.past: array for t, array in zip(graph.cache.tensors, past, strict=True)}
        logits, *past = graph.session.run(["logits", *(t.present for t in graph.cache.tensors)], feeds)
        found.append(logits)
    for row, prompt in enumerate(prompts):
        alone = wanted(folder, np.concatenate([prompt, more[row]])[None])[0, len(prompt) - 1 :]
        assert np.abs(np.concatenate(found, 1)[row] - alone).max() < 1e-4


@pytest.mark.parametrize("routing", [True, False])
def test_a_padded_batch_is_its_sequences(checkpoint: Checkpoints, exported: Exported, routing: bool) -> None:
    check_batch(Graph(*exported("fp32", "masked", routing=routing)), checkpoint(routing))


@pytest.mark.parametrize("target", ["cuda", "webgpu"])
def test_graphs_of_gpus_compute_the_same(checkpoint: Checkpoints, exported: Exported, target: str) -> None:
    graph = Graph(*exported("fp16", "masked", target))
    logits = wanted(checkpoint(True), IDS)
    for size in (41, 9):
        assert np.abs(graph.chunks(IDS, size) - logits).max() < 0.02 * np.abs(logits).max()


def test_a_static_cache_computes_the_same(checkpoint: Checkpoints, exported: Exported) -> None:
    folder, manifest = exported("fp16", "masked", "dml", max_length=48)
    assert manifest.cache.length == 48
    graph, logits = Graph(folder, manifest), wanted(checkpoint(True), IDS)
    past = [np.full((1, t.heads, 48, t.width), np.nan, np.float16) for t in manifest.cache.tensors]
    for start in range(0, 41, 6):
        ids = IDS[:, start : start + 6]
        feeds = {"input_ids": ids, "attention_mask": np.ones((1, start + ids.shape[1]), np.int64)}
        feeds["position_ids"] = np.arange(start, start + ids.shape[1])[None]
        feeds |= {t.past: array for t, array in zip(manifest.cache.tensors, past, strict=True)}
        found, *past = graph.session.run(["logits", *(t.present for t in manifest.cache.tensors)], feeds)
        assert np.abs(found - logits[:, start : start + 6]).max() < 0.02 * np.abs(logits).max()


def shapes(values: list[onnx.ValueInfoProto]) -> dict[str, list[str | int]]:
    return {one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in values}


def test_inputs_and_outputs_are_what_genai_asks_for(exported: Exported) -> None:
    folder, _ = exported("fp32", "masked")
    graph = load(folder).graph
    past, total = "past_sequence_length", "total_sequence_length"
    rows = [f"{layer}.{role}" for layer in range(3) for role in ("key", "value")]
    assert shapes(graph.input) == {
        "input_ids": ["batch_size", "sequence_length"],
        "attention_mask": ["batch_size", total],
        "position_ids": ["batch_size", "sequence_length"],
        **{f"past_key_values.{row}": ["batch_size", 2, past, 33] for row in rows},
    }
    assert shapes(graph.output) == {
        "logits": ["batch_size", "sequence_length", VOCABULARY],
        **{f"present.{row}": ["batch_size", 2, total, 33] for row in rows},
    }
    assert (folder / names.GENAI_CONFIG).is_file()


def test_without_routing_rows_have_no_flag_and_the_graph_no_gate(exported: Exported) -> None:
    folder, manifest = exported("fp32", "masked", routing=False)
    assert {tensor.width for tensor in manifest.cache.tensors} == {32}
    assert not any("gate_proj" in one.name and "mlp" not in one.name for one in load(folder).graph.initializer)


def test_gates_are_floats_in_every_recipe(exported: Exported) -> None:
    folder, manifest = exported("int4", "masked")
    kinds = {one.name: one.data_type for one in load(folder).graph.initializer if "self_attn.gate_proj" in one.name}
    assert len(kinds) == 6 and set(kinds.values()) == {onnx.TensorProto.FLOAT}
    assert isinstance(manifest, Manifest) and not any("int8" in kind for kind in manifest.tensors)
