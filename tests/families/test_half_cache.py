"""The latent cache in half precision beside a graph of float32: what it costs, who runs it, what is said of it and refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import youtu_onnx
from benchmarks.shapes import YOUTU_LLM_2B
from tests.exported import Graph, export_tiny, furthest_from_transformers
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.cli import main
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.cache import cache_layout
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.text import Tokenizer
from youtu_onnx.verify.difference import Difference, centre, compare
from youtu_onnx.verify.parity import PATHS
from youtu_onnx.verify.verify import verify_bundle

NanoBundle = Callable[..., Path]
FORM = "latent-fp16"


def test_a_token_takes_half_of_what_float32_takes() -> None:
    halves, floats = cache_layout(YOUTU_LLM_2B, FORM), cache_layout(YOUTU_LLM_2B, "latent")
    assert halves.bytes_per_token == 36 * 1024 == floats.bytes_per_token // 2
    assert (halves.form, halves.dtype, halves.tensors) == ("latent", "float16", floats.tensors)


@pytest.mark.parametrize(("precision", "most"), [("fp32", 2e-3), ("int8", 0.1)])
def test_a_tiny_model_of_every_peculiarity_equals_transformers(tmp_path: Path, precision: str, most: float) -> None:
    """Bias, no q_lora, YaRN, an odd number of layers, padding: both orders of attention, in chunks and token by token."""
    config = CONFIG | VARIANTS["yarn"] | VARIANTS["no q_lora"] | VARIANTS["attention bias"]
    tensors = random_tensors(config)
    write_checkpoint(tmp_path / "checkpoint", config, tensors)
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path, Recipe(precision, 32), form=FORM)
    assert manifest.cache.dtype == "float16" and manifest.graph.float_dtype == "float32"
    assert furthest_from_transformers(tmp_path, manifest, config, tensors) < most


def test_larger_numbers_than_a_half_can_say_are_its_largest(tmp_path: Path) -> None:
    """A latent of millions makes no infinity, and so no NaN."""
    tensors = random_tensors(CONFIG)
    for name in tensors:
        if name.endswith("kv_a_layernorm.weight"):
            tensors[name] = tensors[name] * 0 + 1e6
    write_checkpoint(tmp_path / "checkpoint", CONFIG, tensors)
    graph = Graph(tmp_path, export_tiny(tmp_path / "checkpoint", tmp_path, Recipe("fp32"), form=FORM))
    logits, past = graph.step(np.arange(3, 15)[None], graph.empty(1))
    rows = np.concatenate([np.abs(one).reshape(-1) for one in past])
    assert np.isfinite(logits).all() and rows.max() == 65504


def test_it_costs_a_trained_model_a_hundredth_of_what_int8_costs(nano_bundle: NanoBundle) -> None:
    """Against the float cache with the same weights, teacher forced, in both orders and token by token: about 1e-6 nats, and what
    roundings of activations to bytes make of it."""
    ids = [Tokenizer.open(nano_bundle("fp32")).encode(problem.prompt) for problem in read_problems(HELD_OUT)[::8]]
    ids = [list(chain(*ids[start : start + 6])) for start in range(0, len(ids) - 6, 6)]
    floats, halves = (
        partial(Graph, folder := nano_bundle("fp32", cache), Bundle.open(folder).manifest) for cache in ("latent", FORM)
    )
    for way, many, size in (("expanded", 1, 10**6), ("absorbed", 10**6, 10**6), ("tokens", None, 1)):
        one, other, found = floats(many=many), halves(many=many), Difference()
        for some in ids:
            expected, logits = (graph.chunks(np.array([some]), size)[0] for graph in (one, other))
            found += compare(expected, logits, centre(expected))
        assert found.positions > 200
        assert 0 < found.mean_kl < 1e-5 and found.relative_error < 2e-3 and found.decided_top1 == 1, way


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_verify_passes(nano_bundle: NanoBundle, precision: str) -> None:
    found = verify_bundle(nano_bundle(precision, FORM), Checkpoint.open("youtu-nano"))
    assert found.passed, (found.checks, found.parity and found.parity.faults)
    assert found.parity is not None and set(found.parity.graph) | {"native"} == set(PATHS)


@pytest.mark.parametrize("kernels", ["native", "onnxruntime"])
def test_sequences_of_a_batch_are_what_they_are_alone(nano_bundle: NanoBundle, kernels: str) -> None:
    if kernels == "native" and library.found() is None:
        pytest.skip("needs pip install ./native")
    bundle = Bundle.open(nano_bundle("int4", FORM))
    options = ProviderOptions(kernels=kernels)
    prompts = [list(range(20, 20 + length)) for length in (5, 70, 33)]
    model = OrtModel(bundle, "cpu", 2, options=options)
    alone = []
    for prompt in prompts:
        decoder = OrtDecoder(model)
        alone.append(decoder.prefill(prompt))
        decoder.reset()
    model.close()
    batch = BatchModel(bundle, 2, options=options)
    caches = [batch.new_cache() for _ in prompts]
    for place, (cache, prompt) in enumerate(zip(caches, prompts, strict=True)):
        # those before it have a token each beside its prompt
        logits = batch.step({slot: (caches[slot], 9) for slot in range(place)}, Chunk(cache, prompt, True))
        expected = alone[place] - alone[place].mean()
        assert np.linalg.norm(logits[-1] - alone[place]) < 0.03 * np.linalg.norm(expected)
    batch.close()


def test_genai_runs_it_as_it_is(nano_bundle: NanoBundle) -> None:
    pytest.importorskip("onnxruntime_genai")
    made = []
    for runtime, options in (("ort", {"kernels": "onnxruntime"}), ("genai", None)):
        with youtu_onnx.load(nano_bundle("int4", FORM), runtime=runtime, provider_options=options) as model:
            made.append(
                [model.generate(prompt, greedy=True, max_tokens=48).token_ids for prompt in ("What is 47 + 38?", "Hello!")]
            )
    assert made[0] == made[1] and all(made[0])


def test_inspect_states_the_cache(nano_bundle: NanoBundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(nano_bundle("int4", FORM))]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cache")]
    assert "latent, float16" in line


@pytest.mark.parametrize("options", [("-p", "fp16"), ("-e", "cuda"), ("-p", "fp32", "-e", "webgpu"), ("-e", "dml")], ids=" ".join)
def test_it_is_refused_where_it_can_not_be(options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "out"), "--cache", FORM, *options]) == 2
    said = capsys.readouterr().err
    assert "compute in float32 on the CPU" in said and "--cache latent" in said
    assert not list(tmp_path.iterdir())


def test_a_phone_is_told_of_all_three(nano_bundle: NanoBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(nano_bundle("int4", FORM), tmp_path / "bundle")
    assert main(["mobile", str(tmp_path / "bundle")]) == 0
    assert "cache is float16; export with --cache latent or latent-int8 for another" in " ".join(capsys.readouterr().out.split())
