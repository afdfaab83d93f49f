"""Graphs over a routed cache: rows leave inside the graph, as training's own cache drops them, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from tests.exported import WARNINGS, Graph, export_tiny, load
from tests.families.microreason.conftest import Exported
from tests.families.microreason.test_masked import ONE_CODE, check_batch, shapes
from tests.families.microreason.tiny import VOCABULARY, WINDOW, training_model, write_tiny
from training.microreason.cache import Cache
from youtu_onnx.core.bundle import names
from youtu_onnx.core.recipe import Recipe

Checkpoints = Callable[[bool], Path]
IDS = np.random.default_rng(9).integers(0, VOCABULARY, (1, 60))


def in_steps(graph: Graph, sizes: list[int]) -> list[tuple[np.ndarray, tuple[int, ...]]]:
    """Logits and rows by layer after each step."""
    past, start, found = graph.empty(1), 0, []
    for size in sizes:
        feeds = {"input_ids": IDS[:, start : start + size], "attention_mask": np.ones((1, start + size), np.int64)}
        feeds["position_ids"] = np.arange(start, start + size)[None]
        feeds |= {t.past: array for t, array in zip(graph.cache.tensors, past, strict=True)}
        logits, *past = graph.session.run(["logits", *(t.present for t in graph.cache.tensors)], feeds)
        rows = graph.cache.rows_by_layer([array.shape[2] for array in past])
        assert rows is not None
        found.append((logits, rows))
        start += size
    return found


@pytest.mark.parametrize("sizes", [[60], [1] * 60, [7] * 8 + [4], [20, *[1] * 40], [2, 31, 1, 26]], ids=str)
def test_logits_and_rows_are_those_of_training_s_cache(checkpoint: Checkpoints, exported: Exported, sizes: list[int]) -> None:
    model, cache, start = training_model(checkpoint(True)), Cache(), 0
    for size, (logits, rows) in zip(sizes, in_steps(Graph(*exported("fp32")), sizes), strict=True):
        with torch.no_grad():
            wanted = model(torch.from_numpy(IDS[:, start : start + size]), cache=cache).numpy()
        assert np.abs(logits - wanted).max() < 1e-4
        assert list(rows) == cache.rows
        start += size
    assert max(cache.rows) < 50 and len(set(cache.rows)) > 1  # saved, and by layer


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_logits_are_those_of_the_masked_form(exported: Exported, precision: str) -> None:
    masked = Graph(*exported(precision, "masked"))
    for sizes in ([60], [11] * 5 + [5], [30, *[1] * 30]):
        found = np.concatenate([logits for logits, _ in in_steps(Graph(*exported(precision)), sizes)], 1)
        past, start, wanted = masked.empty(1), 0, []
        for size in sizes:
            logits, past = masked.step(IDS[:, start : start + size], past)
            wanted.append(logits)
            start += size
        off = np.abs(found - np.concatenate(wanted, 1))
        if precision == "fp32":
            assert off.max() < 1e-4
        else:  # sums run in another order, so that an activation half-way between two codes may become the other
            assert off.max() < 4 * ONE_CODE and off.mean() < ONE_CODE / 5, (off.max(), off.mean())


ODD = {"hidden_size": 20, "intermediate_size": 36, "num_attention_heads": 3, "head_dim": 6, "num_hidden_layers": 2}


@pytest.mark.parametrize("window", [1, 100])
def test_windows_of_one_token_and_of_all(tmp_path: Path, window: int) -> None:
    checkpoint = write_tiny(tmp_path / "checkpoint", attention_window=window, **ODD)
    graph = Graph(tmp_path, export_tiny(checkpoint, tmp_path, Recipe("fp32"), form="routed"))
    model, cache, start = training_model(checkpoint), Cache(), 0
    sizes = [20, *[1] * 10, 30]
    for size, (logits, rows) in zip(sizes, in_steps(graph, sizes), strict=True):
        with torch.no_grad():
            wanted = model(torch.from_numpy(IDS[:, start : start + size]), cache=cache).numpy()
        assert np.abs(logits - wanted).max() < 1e-4 and list(rows) == cache.rows
        start += size
    assert (max(cache.rows) == 60) is (window == 100)


def test_a_plain_loop_gets_the_saving(exported: Exported) -> None:
    folder, _ = exported("int4")
    session = ort.InferenceSession(str(folder / names.MODEL))
    pasts = [one for one in session.get_inputs() if one.name.startswith("past_key_values.")]
    feeds = {one.name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32) for one in pasts}
    ids, length, tokens = IDS[:, :20], 0, []
    while len(tokens) < 30:
        length += ids.shape[1]
        feeds |= {"input_ids": ids, "position_ids": np.arange(length - ids.shape[1], length)[None]}
        feeds["attention_mask"] = np.ones((1, length), np.int64)
        logits, *presents = session.run(None, feeds)
        feeds = {one.name: present for one, present in zip(pasts, presents, strict=True)}
        tokens.append(int(logits[0, -1].argmax()))
        ids = np.array([tokens[-1:]])
    masked = Graph(*exported("int4", "masked"))
    logits, past = masked.step(IDS[:, :20], masked.empty(1))
    wanted = [int(logits[0, -1].argmax())]
    while len(wanted) < 30:
        logits, past = masked.step(np.array([wanted[-1:]]), past)
        wanted.append(int(logits[0, -1].argmax()))
    assert tokens == wanted
    assert sum(present.shape[2] for present in presents[::3]) < 0.8 * sum(one.shape[2] for one in past[::2])


def test_a_batch_of_unequal_lengths_is_its_sequences(checkpoint: Checkpoints, exported: Exported) -> None:
    check_batch(Graph(*exported("fp32")), checkpoint(True))


def test_a_batch_keeps_what_any_of_its_sequences_needs(checkpoint: Checkpoints, exported: Exported) -> None:
    graph, model = Graph(*exported("fp32")), training_model(checkpoint(True))
    ids = np.random.default_rng(2).integers(0, VOCABULARY, (2, 50))
    _, past = graph.step(ids, graph.empty(2))
    with torch.no_grad():
        opened = [gates > 0 for gates in model.model(torch.from_numpy(ids)).gates]
    wanted = [int((one.any(0) | (torch.arange(50) > 50 - WINDOW)).sum()) for one in opened]
    assert graph.cache.rows_by_layer([one.shape[2] for one in past]) == tuple(wanted)


def test_layers_have_lengths_of_their_own(exported: Exported) -> None:
    folder, _ = exported("fp32")
    graph = load(folder).graph
    sizes = {"key": (2, 32), "value": (2, 32), "gate": (1, 1)}
    rows = {f"{layer}.{role}": (layer, *sizes[role]) for layer in range(3) for role in sizes}
    assert {name: shape for name, shape in shapes(graph.input).items() if "past" in name} == {
        f"past_key_values.{name}": ["batch_size", heads, f"past_rows_{layer}", width]
        for name, (layer, heads, width) in rows.items()
    }
    assert {name: shape for name, shape in shapes(graph.output).items() if name != "logits"} == {
        f"present.{name}": ["batch_size", heads, f"present_rows_{layer}", width] for name, (layer, heads, width) in rows.items()
    }
    assert not (folder / names.GENAI_CONFIG).exists()


def test_the_mask_s_last_column_asks_for_the_last_logits_only(exported: Exported, capfd: pytest.CaptureFixture[str]) -> None:
    graph = Graph(*exported("fp32"), said=WARNINGS)
    whole, _ = graph.step(IDS, graph.empty(1))
    last, _ = graph.step(IDS, graph.empty(1), keep=3)
    assert np.abs(last - whole[:, -3:]).max() < 1e-5
    assert capfd.readouterr().err == ""
