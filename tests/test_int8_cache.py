"""The int8 latent cache: the format of a row, attention over rows as they are, and what it costs in a trained model.

A row is ``L + R`` bytes around 128 and one byte ``e``: number ``i`` is ``(byte[i] - 128) * 2 ** (e / 8 - 24)``.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import youtu_onnx
from benchmarks.shapes import YOUTU_LLM_2B
from runtimes import open_decoder
from tests.exported import Graph, Stepwise, cut, export_tiny, load, nodes, reference
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.bundle import Bundle, Manifest, names
from youtu_onnx.bundle.bundle import describe_file
from youtu_onnx.cache import CacheLayout
from youtu_onnx.checkpoint import Checkpoint
from youtu_onnx.cli import main
from youtu_onnx.difference import Difference, centre, compare
from youtu_onnx.evaluate import HELD_OUT, read_problems
from youtu_onnx.graph import check_graph
from youtu_onnx.inspect import inspect_bundle
from youtu_onnx.parity import PATHS
from youtu_onnx.recipe import Recipe
from youtu_onnx.verify import verify_bundle

NanoBundle = Callable[..., Path]
HEADS, RANK = CONFIG["num_attention_heads"], CONFIG["kv_lora_rank"]
NOPE, ROPE = CONFIG["qk_nope_head_dim"], CONFIG["qk_rope_head_dim"]
WIDTH = RANK + ROPE
FINEST, COARSEST = 2.0**-24, 2.0 ** (255 / 8 - 24)
"""Scales that bytes 0 and 255 stand for."""


def decode(rows: np.ndarray) -> np.ndarray:
    """``[…,W]`` bytes → ``[…,L+R]`` numbers, in float64."""
    return (rows[..., :-1].astype(np.float64) - 128) * scales(rows)[..., None]


def scales(rows: np.ndarray) -> np.ndarray:
    return 2.0 ** (rows[..., -1].astype(np.float64) / 8 - 24)


def encode(numbers: np.ndarray) -> np.ndarray:
    """``[…,L+R]`` numbers → ``[…,W]`` bytes: the smallest scale that a byte can say and that no number exceeds 127 times."""
    largest = np.abs(numbers.astype(np.float64)).max(-1, keepdims=True) / 127
    exponent = np.clip(np.ceil(8 * (np.log2(np.maximum(largest, FINEST)) + 24)), 0, 255)
    codes = np.floor(numbers / 2.0 ** (exponent / 8 - 24) + 128.5)
    return np.concatenate([codes, exponent], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """Int4 with an exception, which names a matrix whose size others are scaled by."""
    folder = tmp_path_factory.mktemp("int8-cache")
    write_checkpoint(folder / "checkpoint")
    recipe = Recipe("int4", 32, int8=("*.kv_a_proj_with_mqa",))
    return folder, export_tiny(folder / "checkpoint", folder, recipe, form="latent-int8")


# Rows


@pytest.fixture(scope="module")
def write(tiny: tuple[Path, Manifest]) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    """``write(numbers [B,S,L+R], past [B,1,P,W])`` → the present that the exported graph's first layer returns."""
    folder, _ = tiny
    first = next(node for node in nodes(load(folder).graph) if node.name.startswith("model.layers.0.self_attn.rows."))
    assert first.op_type == "Concat", "of c_kv and k_rope"
    part = cut(folder, dict.fromkeys(first.input, np.float32) | {"past_key_values.0.key": np.uint8}, ["present.0.key"])

    def run(numbers: np.ndarray, past: np.ndarray | None = None) -> np.ndarray:
        past = np.zeros((len(numbers), 1, 0, WIDTH + 1), np.uint8) if past is None else past
        c_kv, k_rope = np.split(numbers.astype(np.float32), [RANK], -1)
        return part.run(None, dict(zip(first.input, (c_kv, k_rope), strict=True)) | {"past_key_values.0.key": past})[0]

    return run


def rows_within(exponents: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    """Rows ``[L+R]`` of any shape whose largest number has the given logarithm to the base 2."""
    def sized(numbers: np.ndarray, exponent: float) -> np.ndarray:
        largest = np.abs(numbers).max()
        return (numbers / (largest or 1) * 2.0**exponent).astype(np.float32)

    numbers = arrays(np.float64, WIDTH, elements=st.floats(-1, 1, allow_subnormal=False))
    normal = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).standard_normal(WIDTH))
    return st.builds(sized, numbers | normal, exponents)


@settings(max_examples=150, deadline=None)
@given(numbers=rows_within(st.floats(-17, 13.9)))
@example(numbers=np.full(WIDTH, 127, np.float32))
@example(numbers=-np.full(WIDTH, 127 * 2**-24, np.float32))
@example(numbers=np.eye(1, WIDTH, WIDTH - 1, dtype=np.float32)[0] * 127 * 2**0.125)
def test_a_row_is_off_by_half_a_step_at_most_and_no_scale_is_much_larger_than_it_must_be(write, numbers: np.ndarray) -> None:
    row = write(numbers[None, None])[0, 0, 0]
    assert row[:-1].min() >= 1, "codes are within ±127, so that two signs have one size"
    scale, least = scales(row), np.abs(numbers).max() / 127
    assert least * (1 - 1e-5) <= scale <= max(least, FINEST) * 2**0.125 * (1 + 1e-5)
    assert np.abs(decode(row) - numbers).max() <= scale / 2 * (1 + 1e-4)


@settings(max_examples=100, deadline=None)
@given(numbers=rows_within(st.floats(-17, 13.9)))
def test_a_row_is_what_the_format_says(write, numbers: np.ndarray) -> None:
    row, expected = write(numbers[None, None])[0, 0, 0], encode(numbers)
    if row[-1] != expected[-1]:  # the logarithm is within rounding of a whole number
        exact = 8 * (np.log2(np.abs(numbers).max() / 127) + 24)
        assert abs(exact - round(exact)) < 1e-3 and abs(int(row[-1]) - int(expected[-1])) == 1
    else:
        assert np.abs(row.astype(int) - expected).max() <= 1, "ties go either way"
        assert (row != expected).mean() < 0.2


def test_rows_of_zeros(write) -> None:
    row = write(np.zeros((1, 1, WIDTH)))[0, 0, 0]
    assert (row[:-1] == 128).all() and not decode(row).any()
    assert row[-1] <= 1, "the finest scale, or the next where rounding says so"


@pytest.mark.parametrize("size", [1e-30, 1e-9, 2.0**-25])
def test_rows_below_the_finest_scale_become_zeros_or_its_multiples(write, size: float) -> None:
    numbers = np.random.default_rng(0).uniform(-size, size, WIDTH).astype(np.float32)
    row = write(numbers[None, None])[0, 0, 0]
    assert np.abs(decode(row) - numbers).max() <= FINEST * 2**0.125 / 2 * (1 + 1e-5)


@pytest.mark.parametrize("size", [1e3, 16_000])
def test_huge_rows(write, size: float) -> None:
    numbers = np.linspace(-size, size, WIDTH, dtype=np.float32)
    row = write(numbers[None, None])[0, 0, 0]
    assert np.abs(decode(row) - numbers).max() <= size / 127 * 2**0.125 / 2 * (1 + 1e-4)


def test_rows_up_to_the_coarsest_scale_are_kept(write) -> None:
    numbers = np.linspace(-127 * COARSEST, 127 * COARSEST, WIDTH, dtype=np.float32) * 0.999
    assert np.abs(decode(write(numbers[None, None])[0, 0, 0]) - numbers).max() <= COARSEST / 2 * (1 + 1e-4)


def test_rows_are_appended_and_those_before_stay(write) -> None:
    random = np.random.default_rng(0)
    past = random.integers(0, 256, (3, 1, 7, WIDTH + 1), np.uint8)
    numbers = random.standard_normal((3, 5, WIDTH)).astype(np.float32)
    present = write(numbers, past)
    np.testing.assert_array_equal(present[:, :, :7], past)
    np.testing.assert_array_equal(present[:, 0, 7:], np.concatenate([write(numbers[:, i : i + 1]) for i in range(5)], 2)[:, 0],
                                  err_msg="each row by itself")


# Attention over rows as they are


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
            kinds["dither" if len(shape) == 1 else "bias" if shape[1] == 1 else
                  "q_nope" if shape[3] == NOPE else "q_rope"] = name
        self.inputs = kinds
        given = {name: np.uint8 if kind == "present" else np.float32 for kind, name in kinds.items()}
        self.part = cut(folder, given, [node.input[0]])
        [columns] = cut(folder, {}, ["model.layers.0.self_attn.heads.w_uk_t_q8"]).run(None, {})
        self.keys = columns.swapaxes(1, 2).astype(np.float64)  # [H,N,L]

    def context(self, **arrays: np.ndarray) -> np.ndarray:
        """``[B,H,S,L]``"""
        return self.part.run(None, {self.inputs[kind]: array for kind, array in arrays.items()})[0]


@pytest.fixture(scope="module")
def absorbed(tiny: tuple[Path, Manifest]) -> Absorbed:
    return Absorbed(tiny[0])


def dither(total: int) -> np.ndarray:
    multiples = np.arange(total, dtype=np.float32) * np.float32(0.6180339887)
    return multiples - np.floor(multiples)


def rounded(x: np.ndarray) -> np.ndarray:
    """To 8 bits and back, row by row, as the query is."""
    scale = np.abs(x).max(-1, keepdims=True) / 127
    return np.round(x / np.where(scale, scale, 1)) * scale


def attention(absorbed: Absorbed, q_nope: np.ndarray, q_rope: np.ndarray, present: np.ndarray,
              bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[B,H,S,T]`` and context ``[B,H,S,L]`` in float64 over decoded rows; the query is rounded as the graph does."""
    query = rounded(np.concatenate([rounded(q_nope.astype(np.float64)) @ absorbed.keys, q_rope], -1))
    rows = decode(present)
    scores = query @ rows.swapaxes(2, 3) + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights, weights @ rows[..., :RANK]


def random_attention(batch: int, new: int, total: int, seed: int) -> dict[str, np.ndarray]:
    """Rows of sizes that differ by some factors of two, and queries whose scores differ by some nats."""
    random = np.random.default_rng(seed)
    numbers = random.standard_normal((batch, 1, total, WIDTH)) * 2.0 ** random.uniform(-2, 2, (batch, 1, total, 1))
    q_nope = random.standard_normal((batch, HEADS, new, NOPE)).astype(np.float32) / 2000  # W_UK's codes reach 127
    q_rope = random.standard_normal((batch, HEADS, new, ROPE)).astype(np.float32)
    seen = np.arange(total) <= np.arange(total - new, total)[:, None]
    bias = np.where(seen, 0, np.finfo(np.float32).min).astype(np.float32)
    return {"q_nope": q_nope, "q_rope": q_rope, "present": encode(numbers), "dither": dither(total),
            "bias": np.broadcast_to(bias, (batch, 1, new, total)).copy()}


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
    inputs["present"][:, :, 100:, :-1] ^= 0xFF
    np.testing.assert_array_equal(absorbed.context(**inputs), before)


def test_even_attention_over_the_longest_context(absorbed: Absorbed) -> None:
    """To rows that agree in their largest number, whose code is 127."""
    total = YOUTU_LLM_2B.max_position_embeddings
    inputs = random_attention(1, 1, total, seed=4)
    inputs["present"] = np.full((1, 1, total, WIDTH + 1), 255, np.uint8)
    inputs["present"][..., -1] = 8 * 24
    assert np.abs(absorbed.context(**inputs) - 127).max() < 0.1


SINK, OTHERS = 0.97, 5000


def sink() -> dict[str, np.ndarray]:
    """One token has nearly all attention, the others agree on what they say: the rope part alone decides the scores."""
    random = np.random.default_rng(3)
    present = np.full((1, 1, OTHERS + 1, WIDTH + 1), 128, np.uint8)
    present[..., -1] = 8 * 24  # the scale 1
    present[0, 0, 1:, :RANK] += random.integers(40, 80, (OTHERS, RANK)).astype(np.uint8)
    present[0, 0, 0, RANK] += 100
    q_rope = np.zeros((1, HEADS, 1, ROPE), np.float32)
    q_rope[..., 0] = math.log(SINK / (1 - SINK) * OTHERS) / 100
    return {"q_nope": np.zeros((1, HEADS, 1, NOPE), np.float32), "q_rope": q_rope, "present": present,
            "bias": np.zeros((1, 1, 1, OTHERS + 1), np.float32), "dither": dither(OTHERS + 1)}


def test_thousands_of_tokens_beside_a_dominating_one_keep_their_say(absorbed: Absorbed) -> None:
    inputs = sink()
    weights, expected = attention(absorbed, **{name: array for name, array in inputs.items() if name != "dither"})
    assert weights[0, 0, 0, 0] == pytest.approx(SINK, abs=1e-3)
    assert np.abs(expected).min() > 1, "the sink itself says nothing"
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


def test_thresholds_of_every_run_of_tokens_are_even(tiny: tuple[Path, Manifest]) -> None:
    """The graph's own: within [0, 1), and the mean of 100 in a row, wherever they begin, is a half."""
    folder, total = tiny[0], 131_072
    [name] = [value.name for value in load(folder).graph.value_info
              if value.name.startswith("model.embed.") and len(value.type.tensor_type.shape.dim) == 1
              and any(value.name in node.input for node in nodes(load(folder).graph) if ".absorbed." in node.name)]
    made = cut(folder, {"input_ids": np.int64, "attention_mask": np.int64}, [name]).run(
        None, {"input_ids": np.ones((1, 1), np.int64), "attention_mask": np.ones((1, total), np.int64)})[0]
    assert made.shape == (total,) and made.min() >= 0 and made.max() < 1
    means = np.convolve(made.astype(np.float64), np.full(100, 0.01), "valid")
    assert np.abs(means - 0.5).max() < 0.02
    np.testing.assert_allclose(made[:1000], np.arange(1000) * 0.6180339887 % 1, atol=1e-4)


# Whole models


def test_exceptions_name_matrices_and_not_what_lends_them_its_size(tiny: tuple[Path, Manifest]) -> None:
    """W_UK's rows and k_rope's sizes are factors of q_b_proj, which stays at 4 bits."""
    bits = {node.input[1]: attribute.i for node in nodes(load(tiny[0]).graph) if node.op_type == "MatMulNBits"
            for attribute in node.attribute if attribute.name == "bits"}
    eight = {name for name, width in bits.items() if width == 8}
    assert eight == {f"model.layers.{i}.self_attn.qkv_a_proj.weight_q8" for i in range(CONFIG["num_hidden_layers"])}
    assert bits["model.layers.0.self_attn.q_b_proj.weight_q4"] == 4


def test_a_tiny_model_of_every_peculiarity_equals_transformers(tmp_path: Path) -> None:
    """Bias, no q_lora, YaRN, an odd number of layers: with int8 weights and cache, both orders stay near float32."""
    config = CONFIG | VARIANTS["yarn"] | VARIANTS["no q_lora"] | VARIANTS["attention bias"]
    tensors = random_tensors(config)
    write_checkpoint(tmp_path / "checkpoint", config, tensors)
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path, Recipe("int8", 32), form="latent-int8")
    assert manifest.cache.dtype == "uint8" and manifest.cache.key_width == WIDTH + 1
    prompts = np.random.default_rng(0).integers(3, 131, (3, 90))
    mask = np.ones_like(prompts)
    mask[1, :40] = mask[2, :87] = 0
    for many in (1, 10**6):
        graph, model = Graph(tmp_path, manifest, many=many), Stepwise(reference(config, tensors))
        past = graph.empty(3)
        for start, stop in ((0, 70), (70, 89), (89, 90)):
            logits, past = graph.step(prompts[:, start:stop], past, mask[:, :stop])
            assert np.isfinite(logits).all()
            real = mask[:, start:stop].astype(bool)
            expected = model.step(prompts[:, start:stop], mask[:, :stop])[real]
            assert compare(expected, logits[real], centre(expected)).relative_error < 0.1


@pytest.fixture(scope="module")
def transcripts(nano_bundle: NanoBundle) -> list[list[int]]:
    """Held-out problems and the model's own replies, thinking and answer, as token ids."""
    with youtu_onnx.load(nano_bundle("int8")) as model:
        prompts = [model.template.prompt([{"role": "user", "content": problem.prompt}]).token_ids
                   for problem in read_problems(HELD_OUT)[::15][:20]]
        return [[*prompt, *model.generate(problem.prompt, greedy=True, max_tokens=100).token_ids]
                for prompt, problem in zip(prompts, read_problems(HELD_OUT)[::15], strict=True)]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_an_int8_cache_costs_a_trained_model_next_to_nothing(nano_bundle: NanoBundle, transcripts: list[list[int]],
                                                             precision: str) -> None:
    """Against the float cache with the same weights, teacher forced: in one step (either order), and token by token.

    Of these 0.0005 nats, half are the roundings of activations, by which the two orders over a float cache differ too.
    """
    floats, bytes_ = (partial(Graph, folder := nano_bundle(precision, cache), Bundle.open(folder).manifest)
                      for cache in ("latent", "latent-int8"))
    for way, many, size in (("expanded", 1, 10**6), ("absorbed", 10**6, 10**6), ("tokens", None, 1)):
        one, other, found = floats(many=many), bytes_(many=many), Difference()
        for ids in transcripts:
            expected, logits = (graph.chunks(np.array([ids]), size)[0] for graph in (one, other))
            found += compare(expected, logits, centre(expected))
        assert found.positions > 500
        assert found.mean_kl < 1e-3, way
        assert found.relative_error < 0.02, way
        assert found.decided_top1 > 0.99, way


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_verify_passes(nano_bundle: NanoBundle, precision: str) -> None:
    found = verify_bundle(nano_bundle(precision, "latent-int8"), Checkpoint.open("youtu-nano"))
    assert found.passed, (found.checks, found.parity and found.parity.faults)
    assert found.parity is not None and set(found.parity.graph) == set(PATHS)
    assert min(one.correlation for one in found.parity.graph.values()) > 0.999, "PyTorch rounds the weights as the bundle does"
    assert found.parity.greedy_agreement >= {"int8": 0.97, "int4": 0.9}[precision]


def test_genai_runs_it_as_it_is(nano_bundle: NanoBundle) -> None:
    pytest.importorskip("onnxruntime_genai")
    bundle = Bundle.open(nano_bundle("int4", "latent-int8"))
    made: dict[str, list[list[int]]] = {}
    for runtime in ("ort", "genai"):
        with youtu_onnx.load(bundle.path, runtime=runtime) as model:
            made[runtime] = [model.generate(prompt, greedy=True, max_tokens=48).token_ids
                             for prompt in ("What is 47 + 38?", "把列表 [4, 9, 1, 7] 从小到大排序。", "Hello!")]
    assert made["ort"] == made["genai"] and all(made["ort"])
    ort, genai = (open_decoder(bundle, runtime) for runtime in ("ort", "genai"))
    ids = list(range(20, 100))
    for decoder in (ort, genai):
        decoder.prefill(ids)
        decoder.rewind(30)
    for one in ids[50:60]:
        np.testing.assert_allclose(genai.prefill([one]), ort.prefill([one]), rtol=0, atol=1e-4)
    for decoder in (ort, genai):
        decoder.close()


# What is said of it


def test_bytes_per_token() -> None:
    of = {form: CacheLayout.of(YOUTU_LLM_2B, form) for form in ("latent", "latent-int8")}
    assert of["latent-int8"].bytes_per_token == 32 * 577 == 18_464
    assert of["latent"].bytes_per_token == 32 * 576 * 4 == 73_728
    layout = of["latent-int8"]
    assert (layout.form, layout.dtype, layout.key_width, layout.num_pairs) == ("latent", "uint8", 577, 16)
    assert CacheLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout
    assert CacheLayout.of(YOUTU_LLM_2B, "latent-int8", "float16") == layout, "whatever the graph's floats are"


def test_inspect_states_the_cache(nano_bundle: NanoBundle, capsys: pytest.CaptureFixture[str]) -> None:
    folder = nano_bundle("int4", "latent-int8")
    a = Bundle.open(folder).manifest.architecture
    per_token = a.num_hidden_layers * (a.latent_dim + 1)
    cache = inspect_bundle(folder).to_dict()["cache"]
    assert (cache["form"], cache["dtype"], cache["bytes_per_token"]) == ("latent", "uint8", per_token)
    assert main(["inspect", str(folder)]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cache")]
    assert "latent, uint8" in line and f"{per_token} B per token" in line


def test_inspect_compares_with_keys_and_values_that_one_could_have(nano_bundle: NanoBundle) -> None:
    """No expanded cache is of bytes: that of the same weights is of floats."""
    found = inspect_bundle(nano_bundle("int4", "latent-int8"))
    assert found.expanded_bytes_per_token == CacheLayout.of(found.manifest.architecture, "expanded", "float32").bytes_per_token


def interface(bundle: Bundle) -> tuple[bool | None, str]:
    return next((check.passed, check.detail) for check in check_graph(bundle) if check.name == "interface")


def test_the_interface_is_checked_for_its_dtype(nano_bundle: NanoBundle, tmp_path: Path) -> None:
    assert interface(Bundle.open(nano_bundle("int4", "latent-int8")))[0]
    for cache, wrong, complaint in (("latent-int8", "float32", "is tensor(uint8); expected tensor(float)"),
                                    ("latent", "uint8", "is tensor(float); expected tensor(uint8)")):
        folder = shutil.copytree(nano_bundle("int4", cache), tmp_path / cache)
        manifest = Manifest.read(folder / names.MANIFEST)
        passed, detail = interface(Bundle(folder, replace(manifest, cache=replace(manifest.cache, dtype=wrong),
                                                          files={name: describe_file(folder / name) for name in manifest.files})))
        assert passed is False
        assert "past_key_values.0.key" in detail and complaint in detail


# Refusals


@pytest.mark.parametrize("options", [("-p", "fp32"), ("-p", "fp16"), ("-e", "cuda"), ("-e", "dml"), ("-e", "webgpu"),
                                     ("-p", "int8", "-e", "cuda")], ids=" ".join)
def test_it_is_refused_where_it_can_not_be(options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "out"), "--cache", "latent-int8", *options]) == 2
    said = capsys.readouterr().err
    assert "int8 cache needs int8 or int4 weights and the target cpu" in said
    assert "--precision int4 --target cpu" in said and "--cache latent" in said
    assert not list(tmp_path.iterdir())


def test_an_unknown_cache_form_is_refused_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "out"), "--cache", "int8"]) == 2
    said = capsys.readouterr().err
    assert "'int8'" in said and "latent, latent-int8, expanded" in said
    assert not list(tmp_path.iterdir())


def test_an_exception_for_w_uk_and_w_uv_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are int8 already, so the option would do nothing."""
    for cache in ("latent", "latent-int8"):
        assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "out"), "--cache", cache, "--int8", "*.kv_b_proj"]) == 2
        assert "*.kv_b_proj names no matrix" in capsys.readouterr().err
