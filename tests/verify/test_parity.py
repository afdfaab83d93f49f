"""The exported graph computes what transformers' ``YoutuForCausalLM`` computes, over every kind of config.

The reference is independent of this project's modules. Logits are of order 1 to 10.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.exported import Graph, export_tiny, reference, reference_logits
from tests.tiny_checkpoint import CONFIG, OLD_GENERATION, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.core.recipe import Recipe

TOLERANCE = 1e-3
CONFIGS = {name: CONFIG | changes for name, changes in VARIANTS.items()} | {
    "old generation": OLD_GENERATION,
    "old generation, yarn": OLD_GENERATION
    | {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}},
    "even layers": CONFIG | {"num_hidden_layers": 4},
    "one layer": CONFIG | {"num_hidden_layers": 1},
    "bias without q_lora": CONFIG | {"attention_bias": True, "q_lora_rank": None},
}

EXPANDED = {
    name: CONFIGS[name]
    for name in ("default", "yarn", "half-split rope", "attention bias", "bias without q_lora", "old generation")
} | {
    "dynamic, untied, one layer": CONFIG | VARIANTS["dynamic"] | VARIANTS["untied"] | {"num_hidden_layers": 1},
    "linear, no q_lora, even layers": CONFIG | VARIANTS["linear"] | VARIANTS["no q_lora"] | {"num_hidden_layers": 4},
    "old generation, yarn": CONFIGS["old generation, yarn"],
}
"""The same, what doesn't touch the cache together in fewer: each takes an export."""


def tokens(batch: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, CONFIG["vocab_size"], (batch, length))


def close(one: np.ndarray, other: np.ndarray) -> None:
    assert 1 < np.abs(other).max() < 40, "logits of a sensible size, or the tolerance means nothing"
    assert np.abs(one - other).max() <= TOLERANCE


@pytest.fixture(
    scope="module",
    params=[(name, "latent") for name in CONFIGS] + [(name, "expanded") for name in EXPANDED],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def pair(request, tmp_path_factory):
    name, form = request.param
    folder = tmp_path_factory.mktemp("parity")
    config = (CONFIGS if form == "latent" else EXPANDED)[name]
    tensors = random_tensors(config)
    write_checkpoint(folder / "checkpoint", config, tensors)
    manifest = export_tiny(folder / "checkpoint", folder / "out", Recipe("fp32"), form=form)
    return name, Graph(folder / "out", manifest), reference(config, tensors)


def test_prefill(pair):
    _, graph, model = pair
    ids = tokens(2, 23)
    logits, _ = graph.step(ids, graph.empty(2))
    close(logits, reference_logits(model, ids))


def test_token_by_token_and_chunked(pair):
    _, graph, model = pair
    ids = tokens(1, 17)
    expected = reference_logits(model, ids)
    for size in (1, 5):
        close(graph.chunks(ids, size), expected)


def test_left_padded_batch_is_its_prompts_alone(pair):
    _, graph, model = pair
    prompts = [tokens(1, length, length)[0] for length in (4, 9, 13)]
    width = max(map(len, prompts))
    ids = np.array([[0] * (width - len(p)) + list(p) for p in prompts])
    mask = np.array([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    logits, past = graph.step(ids, graph.empty(3), mask)
    after, _ = graph.step(np.array([[7], [8], [9]]), past, np.concatenate([mask, np.ones((3, 1), np.int64)], 1))
    for row, prompt in enumerate(prompts):
        longer = np.append(prompt, 7 + row)[None]
        expected = reference_logits(model, longer)[0]
        close(logits[row, width - len(prompt) :], expected[:-1])
        close(after[row], expected[-1:])


def test_beyond_the_trained_context_under_dynamic_rope(tmp_path):
    """Dynamic NTK stretches with the sequence: one-shot and stepwise differ, each as the reference does."""
    config = CONFIGS["dynamic"]
    tensors = random_tensors(config)
    write_checkpoint(tmp_path / "checkpoint", config, tensors)
    graph = Graph(tmp_path / "out", export_tiny(tmp_path / "checkpoint", tmp_path / "out", Recipe("fp32")))
    model, ids = reference(config, tensors), tokens(1, 80)
    logits, past = graph.step(ids[:, :70], graph.empty(1))
    with torch.no_grad():
        first = model(torch.from_numpy(ids[:, :70]), use_cache=True)
        close(logits, first.logits.numpy())
        cache = first.past_key_values
        for position in range(70, 80):
            step, past = graph.step(ids[:, position : position + 1], past)
            expected = model(torch.from_numpy(ids[:, position : position + 1]), past_key_values=cache, use_cache=True)
            close(step, expected.logits.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shards", [1, 3])
def test_half_precision_and_sharded_checkpoints(tmp_path, dtype, shards):
    tensors = random_tensors(CONFIG, dtype)
    write_checkpoint(tmp_path / "checkpoint", CONFIG, tensors, shards=shards)
    graph = Graph(tmp_path / "out", export_tiny(tmp_path / "checkpoint", tmp_path / "out", Recipe("fp32")))
    ids = tokens(1, 12)
    close(graph.step(ids, graph.empty(1))[0], reference_logits(reference(CONFIG, tensors), ids))


@pytest.mark.parametrize("form", ["latent", "expanded"])
def test_fp16(tmp_path, form):
    tensors = random_tensors(CONFIG)
    write_checkpoint(tmp_path / "checkpoint", CONFIG, tensors)
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path / "out", Recipe("fp16"), form=form)
    graph, ids = Graph(tmp_path / "out", manifest), tokens(2, 20)
    assert manifest.cache.dtype == "float16"
    logits, _ = graph.step(ids, graph.empty(2))
    expected = reference_logits(reference(CONFIG, tensors), ids)
    assert np.abs(logits - expected).max() <= 0.03 * np.abs(expected).max()
