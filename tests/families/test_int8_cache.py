"""The int8 latent cache in whole models: what it costs a trained one, who runs it, what is said of it, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import youtu_onnx
from benchmarks.shapes import YOUTU_LLM_2B
from tests.exported import Graph, export_tiny, furthest_from_transformers, load, nodes
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.cli import main
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.known import architecture_of
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import cache_layout
from youtu_onnx.inspect.inspection import inspect_bundle
from youtu_onnx.runtimes.opening import open_decoder
from youtu_onnx.verify.difference import Difference, centre, compare
from youtu_onnx.verify.graph import check_graph
from youtu_onnx.verify.parity import PATHS
from youtu_onnx.verify.verify import verify_bundle

NanoBundle = Callable[..., Path]
WIDTH = CONFIG["kv_lora_rank"] + CONFIG["qk_rope_head_dim"]


# Whole models


def test_exceptions_name_matrices_and_not_what_lends_them_its_size(int8_cache_tiny: Path) -> None:
    """W_UK's rows and k_rope's sizes are factors of q_b_proj, which stays at 4 bits."""
    bits = {
        node.input[1]: attribute.i
        for node in nodes(load(int8_cache_tiny).graph)
        if node.op_type == "MatMulNBits"
        for attribute in node.attribute
        if attribute.name == "bits"
    }
    eight = {name for name, width in bits.items() if width == 8}
    assert eight == {f"model.layers.{i}.self_attn.qkv_a_proj.weight_q8" for i in range(CONFIG["num_hidden_layers"])}
    assert bits["model.layers.0.self_attn.q_b_proj.weight_q4"] == 4


def test_a_tiny_model_of_every_peculiarity_equals_transformers(tmp_path: Path) -> None:
    """Bias, no q_lora, YaRN, an odd number of layers: with int8 weights and cache, both orders stay near float32."""
    config = CONFIG | VARIANTS["yarn"] | VARIANTS["no q_lora"] | VARIANTS["attention bias"]
    tensors = random_tensors(config)
    write_checkpoint(tmp_path / "checkpoint", config, tensors)
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path, Recipe("int8", 32), form="latent-int8")
    assert manifest.cache.dtype == "uint8" and manifest.cache.tensors[0].width == WIDTH
    assert furthest_from_transformers(tmp_path, manifest, config, tensors) < 0.1


@pytest.fixture(scope="module")
def transcripts(nano_bundle: NanoBundle) -> list[list[int]]:
    """Held-out problems and the model's own replies, thinking and answer, as token ids."""
    with youtu_onnx.load(nano_bundle("int8")) as model:
        prompts = [
            model.template.prompt([{"role": "user", "content": problem.prompt}]).token_ids
            for problem in read_problems(HELD_OUT)[::15][:20]
        ]
        return [
            [*prompt, *model.generate(problem.prompt, greedy=True, max_tokens=100).token_ids]
            for prompt, problem in zip(prompts, read_problems(HELD_OUT)[::15], strict=True)
        ]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_an_int8_cache_costs_a_trained_model_next_to_nothing(
    nano_bundle: NanoBundle, transcripts: list[list[int]], precision: str
) -> None:
    """Against the float cache with the same weights, teacher forced: in one step (either order), and token by token.

    Of these 0.0005 to 0.0006 nats, half are the roundings of activations, by which the two orders over a float cache differ too.
    """
    floats, bytes_ = (
        partial(Graph, folder := nano_bundle(precision, cache), Bundle.open(folder).manifest)
        for cache in ("latent", "latent-int8")
    )
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
    assert found.parity is not None and set(found.parity.graph) | {"native"} == set(PATHS)
    assert min(one.correlation for one in found.parity.graph.values()) > 0.999, "PyTorch rounds the weights as the bundle does"
    assert found.parity.greedy_agreement >= {"int8": 0.97, "int4": 0.9}[precision]


def test_genai_runs_it_as_it_is(nano_bundle: NanoBundle) -> None:
    pytest.importorskip("onnxruntime_genai")
    bundle = Bundle.open(nano_bundle("int4", "latent-int8"))
    made: dict[str, list[list[int]]] = {}
    for runtime in ("ort", "genai"):
        with youtu_onnx.load(bundle.path, runtime=runtime) as model:
            made[runtime] = [
                model.generate(prompt, greedy=True, max_tokens=48).token_ids
                for prompt in ("What is 47 + 38?", "把列表 [4, 9, 1, 7] 从小到大排序。", "Hello!")
            ]
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
    of = {form: cache_layout(YOUTU_LLM_2B, form) for form in ("latent", "latent-int8")}
    assert of["latent-int8"].bytes_per_token == 32 * 576 == 18 * 1024
    assert of["latent"].bytes_per_token == 32 * 576 * 4 == 73_728
    layout = of["latent-int8"]
    assert (layout.form, layout.dtype, layout.tensors[0].width, len(layout.tensors)) == ("latent", "uint8", 576, 32)
    assert CacheLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout
    assert cache_layout(YOUTU_LLM_2B, "latent-int8", "float16") == layout, "whatever the graph's floats are"


def test_inspect_states_the_cache(nano_bundle: NanoBundle, capsys: pytest.CaptureFixture[str]) -> None:
    folder = nano_bundle("int4", "latent-int8")
    a = architecture_of(Bundle.open(folder).manifest.model)
    per_token = a.num_hidden_layers * a.latent_dim
    cache = inspect_bundle(folder).to_dict()["cache"]
    assert (cache["form"], cache["dtype"], cache["bytes_per_token"]) == ("latent", "uint8", per_token)
    assert main(["inspect", str(folder)]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cache")]
    assert "latent, uint8" in line and f"{per_token} B per token" in line


def test_inspect_compares_with_keys_and_values_that_one_could_have(nano_bundle: NanoBundle) -> None:
    """No expanded cache is of bytes: that of the same weights is of floats."""
    found = inspect_bundle(nano_bundle("int4", "latent-int8"))
    assert found.expanded_bytes_per_token == cache_layout(found.architecture, "expanded", "float32").bytes_per_token


def interface(bundle: Bundle) -> tuple[bool | None, str]:
    return next((check.passed, check.detail) for check in check_graph(bundle) if check.name == "interface")


def test_the_interface_is_checked_for_its_dtype(nano_bundle: NanoBundle, tmp_path: Path) -> None:
    assert interface(Bundle.open(nano_bundle("int4", "latent-int8")))[0]
    for cache, wrong, complaint in (
        ("latent-int8", "float32", "is tensor(uint8); expected tensor(float)"),
        ("latent", "uint8", "is tensor(float); expected tensor(uint8)"),
    ):
        folder = shutil.copytree(nano_bundle("int4", cache), tmp_path / cache)
        manifest = Manifest.read(folder / names.MANIFEST)
        passed, detail = interface(
            Bundle(
                folder,
                replace(
                    manifest,
                    cache=replace(manifest.cache, dtype=wrong),
                    files={name: describe_file(folder / name) for name in manifest.files},
                ),
            )
        )
        assert passed is False
        assert "past_key_values.0.key" in detail and complaint in detail


# Refusals


@pytest.mark.parametrize(
    "options",
    [("-p", "fp32"), ("-p", "fp16"), ("-e", "cuda"), ("-e", "dml"), ("-e", "webgpu"), ("-p", "int8", "-e", "cuda")],
    ids=" ".join,
)
def test_it_is_refused_where_it_can_not_be(options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "out"), "--cache", "latent-int8", *options]) == 2
    said = capsys.readouterr().err
    assert "int8 cache needs int8 or int4 weights and the target cpu" in said
    assert "--precision int4 --target cpu" in said and "--cache latent" in said
    assert not list(tmp_path.iterdir())


def test_an_unknown_cache_form_is_refused_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "out"), "--cache", "int8"]) == 2
    said = capsys.readouterr().err
    assert "'int8'" in said and "latent, latent-fp16, latent-int8, expanded" in said
    assert not list(tmp_path.iterdir())


def test_an_exception_for_w_uk_and_w_uv_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are int8 already, so the option would do nothing."""
    for cache in ("latent", "latent-int8"):
        assert main(["export", "-m", "youtu-nano", "-o", str(tmp_path / "out"), "--cache", cache, "--int8", "*.kv_b_proj"]) == 2
        assert "*.kv_b_proj names no matrix" in capsys.readouterr().err


def test_rows_too_short_to_say_their_scale_are_refused() -> None:
    short, just = (Architecture.from_config(CONFIG | {"kv_lora_rank": rank, "qk_rope_head_dim": 2}) for rank in (5, 6))
    with pytest.raises(UsageError, match=r"8 of its numbers; this model's rows have 7 \(.*rank 5, .*dim 2\)\n.*--cache latent$"):
        cache_layout(short, "latent-int8")
    assert cache_layout(short, "latent").tensors[0].width == 7
    assert cache_layout(just, "latent-int8").tensors[0].width == 8
