"""Attention over rows of the int8 latent cache as they are, against that over decoded rows in float64."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.shapes import YOUTU_LLM_2B
from tests.byte_rows import FINEST, decode, encode, with_scale
from tests.exported import cut, load, nodes
from tests.tiny_checkpoint import CONFIG

HEADS, RANK = CONFIG["num_attention_heads"], CONFIG["kv_lora_rank"]
NOPE, ROPE = CONFIG["qk_nope_head_dim"], CONFIG["qk_rope_head_dim"]
WIDTH = RANK + ROPE


class Absorbed:
    """The first layer's absorbed attention, as exported, up to what W_UV multiplies."""

    def __init__(self, folder: Path) -> None:
        graph = load(folder).graph
        parts = {name: node for node in nodes(graph) for name in node.output if ".layers.0.self_attn.absorbed." in name}
        [values] = [node for node in parts.values() if "model.layers.0.self_attn.heads.w_uv_q8" in node.input]
        node = parts[values.input[0]]
        while node.op_type != "Div":  # the codes are made by Div, Add, Cast
            node = parts[node.input[0]]
        constants = {tensor.name for tensor in graph.initializer}
        free = {name for part in parts.values() for name in part.input} - set(parts) - constants
        shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.value_info}
        kinds = {"present": "present.0.key"}
        for name in free - {"present.0.key"}:
            shape = shapes[name]
            kinds["dither" if len(shape) == 1 else "bias" if shape[1] == 1 else "q_nope" if shape[3] == NOPE else "q_rope"] = name
        self.inputs = kinds
        given = {name: np.uint8 if kind == "present" else np.float32 for kind, name in kinds.items()}
        self.part = cut(folder, given, [node.input[0]])
        [parts_of_columns] = cut(folder, {}, ["model.layers.0.self_attn.heads.w_uk_q8"]).run(None, {})
        heads, _, nope, _ = parts_of_columns.shape
        self.keys = parts_of_columns.swapaxes(1, 2).reshape(heads, nope, -1).astype(np.float64)  # [H,N,L]

    def context(self, **arrays: np.ndarray) -> np.ndarray:
        """``[B,H,S,L]``"""
        return self.part.run(None, {self.inputs[kind]: array for kind, array in arrays.items()})[0]


@pytest.fixture(scope="module")
def absorbed(int8_cache_tiny: Path) -> Absorbed:
    return Absorbed(int8_cache_tiny)


def dither(total: int) -> np.ndarray:
    multiples = np.arange(total, dtype=np.float32) * np.float32(0.6180339887)
    return multiples - np.floor(multiples)


def rounded(x: np.ndarray) -> np.ndarray:
    """To 8 bits and back, row by row, as the query is."""
    scale = np.abs(x).max(-1, keepdims=True) / 127
    return np.round(x / np.where(scale, scale, 1)) * scale


def attention(
    absorbed: Absorbed, q_nope: np.ndarray, q_rope: np.ndarray, present: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[B,H,S,T]`` and context ``[B,H,S,L]`` in float64 over decoded rows; the query is rounded as the graph does."""
    query = rounded(np.concatenate([rounded(q_nope.astype(np.float64)) @ absorbed.keys, q_rope], -1))
    rows = decode(present)
    scores = query @ rows.swapaxes(2, 3) + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights, weights @ rows[..., :RANK]


def random_attention(batch: int, new: int, total: int, seed: int, present: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Rows of sizes that differ by some factors of two, or those given, and queries whose scores differ by some nats."""
    random = np.random.default_rng(seed)
    numbers = random.standard_normal((batch, 1, total, WIDTH)) * 2.0 ** random.uniform(-2, 2, (batch, 1, total, 1))
    q_nope = random.standard_normal((batch, HEADS, new, NOPE)).astype(np.float32) / 2000  # W_UK's codes reach 127
    q_rope = random.standard_normal((batch, HEADS, new, ROPE)).astype(np.float32)
    seen = np.arange(total) <= np.arange(total - new, total)[:, None]
    bias = np.where(seen, 0, np.finfo(np.float32).min).astype(np.float32)
    return {
        "q_nope": q_nope,
        "q_rope": q_rope,
        "present": encode(numbers) if present is None else present,
        "dither": dither(total),
        "bias": np.broadcast_to(bias, (batch, 1, new, total)).copy(),
    }


@pytest.mark.parametrize(("batch", "new", "total"), [(1, 1, 1), (1, 1, 40), (3, 5, 300), (1, 63, 2000)])
def test_attention_equals_that_over_decoded_rows(absorbed: Absorbed, batch: int, new: int, total: int) -> None:
    inputs = random_attention(batch, new, total, seed=total)
    _, expected = attention(absorbed, **{name: array for name, array in inputs.items() if name != "dither"})
    found = absorbed.context(**inputs)
    assert found.shape == (batch, HEADS, new, RANK)
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


def test_a_query_of_zeros_is_the_mean_and_a_row_that_sees_nothing_is_finite(absorbed: Absorbed) -> None:
    inputs = random_attention(1, 2, 50, seed=1)
    inputs["q_nope"][:], inputs["q_rope"][:] = 0, 0
    inputs["bias"][0, 0, 0], inputs["bias"][0, 0, 1] = np.finfo(np.float32).min, 0
    found = absorbed.context(**inputs)
    assert np.isfinite(found).all()
    mean = decode(inputs["present"])[0, 0, :, :RANK].mean(0)
    assert np.abs(found[0, :, 1] - mean).max() <= 1e-3 * np.abs(mean).max()


def test_masked_tokens_have_no_weight_at_all(absorbed: Absorbed) -> None:
    """However high the threshold that they are rounded by."""
    inputs = random_attention(1, 1, 500, seed=2)
    inputs["bias"][..., 100:] = np.finfo(np.float32).min
    before = absorbed.context(**inputs)
    inputs["present"][:, :, 100:] ^= 0xFE
    np.testing.assert_array_equal(absorbed.context(**inputs), before)


@pytest.mark.parametrize("code", [0, 1, 255])
def test_even_attention_over_the_longest_context(absorbed: Absorbed, code: int) -> None:
    """To rows whose codes are all the last: no sum leaves its int32."""
    total = YOUTU_LLM_2B.max_position_embeddings
    row = with_scale(np.full(WIDTH, code, np.uint8), 8 * 24)
    inputs = random_attention(1, 1, total, seed=4, present=np.tile(row, (1, 1, total, 1)))
    assert np.abs(absorbed.context(**inputs) - decode(row)[:RANK]).max() < 0.1


SINK, OTHERS = 0.97, 5000


def sink() -> dict[str, np.ndarray]:
    """One token has nearly all attention, the others agree on what they say: the rope part alone decides the scores.

    Of the finest scale, which bits of 0 say: the sink's own codes can be those of zeros.
    """
    random = np.random.default_rng(3)
    present = np.full((1, 1, OTHERS + 1, WIDTH), 128, np.uint8)
    present[0, 0, 1:, :RANK] += random.integers(40, 80, (OTHERS, RANK)).astype(np.uint8)
    present[0, 0, 0, RANK] += 100
    q_rope = np.zeros((1, HEADS, 1, ROPE), np.float32)
    q_rope[..., 0] = math.log(SINK / (1 - SINK) * OTHERS) / (100 * FINEST)
    return {
        "q_nope": np.zeros((1, HEADS, 1, NOPE), np.float32),
        "q_rope": q_rope,
        "present": with_scale(present, 0),
        "bias": np.zeros((1, 1, 1, OTHERS + 1), np.float32),
        "dither": dither(OTHERS + 1),
    }


def test_thousands_of_tokens_beside_a_dominating_one_keep_their_say(absorbed: Absorbed) -> None:
    inputs = sink()
    weights, expected = attention(absorbed, **{name: array for name, array in inputs.items() if name != "dither"})
    assert weights[0, 0, 0, 0] == pytest.approx(SINK, abs=1e-3)
    assert np.abs(expected).min() > FINEST, "the sink itself says nothing"
    assert np.abs(absorbed.context(**inputs) / expected - 1).max() < 0.04, "one in ten of them speaks for the others"


def test_it_is_dithering_that_keeps_it(absorbed: Absorbed) -> None:
    """By arithmetic, and by the graph with one threshold for all: 14 bits alone lose all that the others say."""
    inputs = sink()
    weights, expected = attention(absorbed, **{name: array for name, array in inputs.items() if name != "dither"})
    rows = decode(inputs["present"])[..., :RANK]
    for threshold, kept in ((0.0, False), (0.5, False), (dither(OTHERS + 1), True)):
        steps = np.floor(weights * (16256 / weights.max()) + threshold)
        by_hand = steps @ rows * (weights.max() / 16256)
        assert (np.abs(by_hand / expected - 1).max() < 0.04) == kept
        if not kept:
            assert not by_hand.any()
            assert not absorbed.context(**inputs | {"dither": np.full(OTHERS + 1, threshold, np.float32)}).any()


def test_thresholds_of_every_run_of_tokens_are_even(int8_cache_tiny: Path) -> None:
    """The graph's own: within [0, 1), and the mean of 100 in a row, wherever they begin, is a half."""
    folder, total = int8_cache_tiny, 131_072
    [name] = [
        value.name
        for value in load(folder).graph.value_info
        if value.name.startswith("model.embed.")
        and len(value.type.tensor_type.shape.dim) == 1
        and any(value.name in node.input for node in nodes(load(folder).graph) if ".absorbed." in node.name)
    ]
    made = cut(folder, {"input_ids": np.int64, "attention_mask": np.int64}, [name]).run(
        None, {"input_ids": np.ones((1, 1), np.int64), "attention_mask": np.ones((1, total), np.int64)}
    )[0]
    assert made.shape == (total,) and made.min() >= 0 and made.max() < 1
    means = np.convolve(made.astype(np.float64), np.full(100, 0.01), "valid")
    assert np.abs(means - 0.5).max() < 0.02
    np.testing.assert_allclose(made[:1000], np.arange(1000) * 0.6180339887 % 1, atol=1e-4)
