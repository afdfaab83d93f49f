"""The batch graph with the native operator answers as the graph of one sequence does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.native.rewriting import rewrite
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.providers.options import ProviderOptions

NATIVE = ProviderOptions(kernels="native")
IDS = np.random.default_rng(3).integers(4, 1270, 400).tolist()
LENGTHS = (5, 70, 130)
STEPS = 4


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if library.found() is None:
        pytest.skip("needs pip install ./native")


def alone(bundle: Bundle, prompt: list[int]) -> np.ndarray:
    """Logits ``[STEPS + 1, V]``: of a prompt's last token, and of tokens that follow."""
    model = OrtModel(bundle, "cpu", 2, options=NATIVE)
    decoder = OrtDecoder(model)
    rows = [decoder.prefill(prompt), *(decoder.decode([7 + step])[0] for step in range(STEPS))]
    model.close()
    return np.stack(rows)


@pytest.mark.parametrize(
    ("precision", "cache"), [("int4", "latent"), ("int8", "latent"), ("int4", "latent-fp16"), ("int4", "latent-int8")]
)
def test_sequences_that_join_one_after_the_other(nano_bundle: Callable[..., Path], precision: str, cache: str) -> None:
    bundle = Bundle.open(nano_bundle(precision, cache))
    batch = BatchModel(bundle, 2, options=NATIVE)
    assert batch.kernels.startswith("native")
    prompts = [IDS[50 * place : 50 * place + length] for place, length in enumerate(LENGTHS)]
    caches = [batch.new_cache() for _ in prompts]
    rows: list[list[np.ndarray]] = [[] for _ in prompts]
    for step in range(len(prompts) + STEPS):
        going = [place for place in range(len(prompts)) if place < step and len(rows[place]) <= STEPS]
        tokens = {3 * place % batch.count: (caches[place], 6 + len(rows[place])) for place in going}
        joins = step if step < len(prompts) else None
        logits = batch.step(tokens, None if joins is None else Chunk(caches[joins], prompts[joins], True))
        by_slot = sorted(going, key=lambda place: 3 * place % batch.count)
        for place, row in zip([*by_slot, *([] if joins is None else [joins])], logits, strict=True):
            rows[place].append(row)
    batch.close()
    for place, prompt in enumerate(prompts):
        expected = alone(bundle, prompt)
        found = np.stack(rows[place])
        centred = expected - expected.mean(-1, keepdims=True)
        assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(centred), place


def test_a_layer_is_six_operators_here_too(nano_bundle: Callable[..., Path]) -> None:
    rewritten = rewrite(nano_bundle("int4") / names.BATCH)
    assert rewritten is not None
    graph = onnx.load_model_from_string(rewritten.model).graph
    within = [node.op_type for node in graph.node if ".layers." in node.name]
    layers = {node.name.split(".")[2] for node in graph.node if ".layers." in node.name}
    assert len(within) == 6 * len(layers) and set(within) == {"Linear", "BatchLatentAttention"}
