"""The roofline: its kernels compute what they are timed for, its counts are the model's, and the command prints all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import kernels
from benchmarks.decode_step import SCALE_BYTE, Work, made_up_rows
from benchmarks.kernels import Kernel
from tests.byte_rows import decode
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.families.known import architecture_of
from youtu_onnx.runtimes.native import library

ROOT = Path(__file__).parents[2]
NATIVE = pytest.mark.skipif(library.found() is None, reason="needs youtu-onnx-native")
LAYERS, TOKENS, WIDTH, HEADS = 2, 5, 24, 4


def run(kernel: Kernel) -> list[np.ndarray]:
    return kernels.opened(kernel, 1)[0].run(None, dict(kernel.feeds))


class TestKernels:
    @pytest.mark.parametrize("native", [False, pytest.param(True, marks=NATIVE)])
    def test_int4_products(self, native: bool):
        kernel = kernels.int4_product(64, 8, 32, copies=2, rows=3, native=native)
        stored = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(kernel.model).graph.initializer}
        assert kernel.bytes == sum(array.nbytes for array in stored.values())
        assert kernel.products == 2 * 3 * 64 * 8
        for index, made in enumerate(run(kernel)):
            packed, scales, zeros = (stored[name] for name in (f"rows{index}", f"constant{index}_0", f"constant{index}_1"))
            codes = np.stack([packed & 15, packed >> 4], -1).reshape(8, 2, 32).astype(np.float32)
            zero_points = np.stack([zeros & 15, zeros >> 4], -1).reshape(8, 2, 1).astype(np.float32)
            weights = ((codes - zero_points) * scales.reshape(8, 2, 1)).reshape(8, 64)
            expected = kernel.feeds["x"] @ weights.T
            assert np.abs(made - expected).max() < 0.02 * np.abs(expected).max(), "activations are rounded to bytes, no more"

    def test_scores_of_all_layers(self):
        kernel = kernels.scores(LAYERS, TOKENS, WIDTH, HEADS)
        assert kernel.products == LAYERS * TOKENS * WIDTH * HEADS
        assert kernel.bytes == LAYERS * TOKENS * WIDTH * 4
        for index, made in enumerate(run(kernel)):
            expected = kernel.feeds[f"rows{index}"][0, 0] @ kernel.feeds["x"][0, 0].T
            np.testing.assert_allclose(made[0, 0], expected, rtol=1e-4, atol=1e-5)

    def test_context_of_all_layers(self):
        kernel = kernels.context(LAYERS, TOKENS, WIDTH, HEADS)
        assert kernel.products == LAYERS * TOKENS * WIDTH * HEADS
        for index, made in enumerate(run(kernel)):
            expected = kernel.feeds["x"][0, 0] @ kernel.feeds[f"rows{index}"][0, 0]
            np.testing.assert_allclose(made[0, 0], expected, rtol=1e-4, atol=1e-5)

    def test_scores_over_bytes(self):
        kernel = kernels.byte_scores(LAYERS, TOKENS, WIDTH, HEADS)
        assert kernel.bytes == LAYERS * TOKENS * WIDTH
        for index, made in enumerate(run(kernel)):
            codes = kernel.feeds[f"rows{index}"].astype(np.int64) - 128
            assert np.array_equal(made, codes @ kernel.feeds["x"].astype(np.int64))

    @pytest.mark.parametrize("signed", [False, True])
    def test_context_over_bytes(self, signed: bool):
        kernel = kernels.byte_context(LAYERS, TOKENS, WIDTH, HEADS, signed)
        assert kernel.products == LAYERS * TOKENS * WIDTH * HEADS * kernels.ROWS_OF_WEIGHTS
        for index, made in enumerate(run(kernel)):
            codes = kernel.feeds[f"rows{index}"].astype(np.int64) - (0 if signed else 128)
            assert np.array_equal(made, kernel.feeds["x"].astype(np.int64) @ codes)

    def test_kernels_take_turns_and_a_first_one_does_not_count(self):
        first, second = kernels.in_turns([kernels.context(1, 4, 8, 2), kernels.int4_product(32, 4, 32, 1)], threads=1, rounds=3)
        assert len(first.seconds) == len(second.seconds) == 3
        assert second.gmacs == second.kernel.products / sorted(second.seconds)[1] / 1e9


def test_work_is_every_matrix_once(nano_bundle):
    bundle = Bundle.open(nano_bundle())
    work = Work.of(bundle.manifest, onnx.load(bundle.file(names.MODEL), load_external_data=False).graph)
    a = architecture_of(bundle.manifest.model)
    norms = a.num_hidden_layers * (2 * a.hidden_size + (a.q_lora_rank or 0) + a.kv_lora_rank) + a.hidden_size
    assert work.int4_products + work.absorbed_bytes + norms == a.parameters, "int8 bytes are weights; the head is the embedding"
    assert work.attention_products == a.num_hidden_layers * a.num_attention_heads * 2 * a.latent_dim
    assert work.bytes(10) - work.bytes(0) == 10 * bundle.manifest.cache.bytes_per_token


def test_made_up_byte_rows_have_the_scale_that_they_should():
    rows = made_up_rows(np.random.default_rng(0), 6, 32, "uint8")
    assert SCALE_BYTE == 8 * (24 - 6)
    np.testing.assert_allclose(decode(rows), (rows.astype(np.float32) - 128) * 2.0**-6, rtol=1e-6)


@pytest.mark.parametrize("cache", ["latent", "latent-int8"])
def test_the_command_prints_bounds_profile_and_start(nano_bundle, tmp_path: Path, cache: str):
    numbers = tmp_path / "numbers.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.roofline",
            str(nano_bundle(cache=cache)),
            "--context",
            "8,24",
            "-t",
            "1",
            "--rounds",
            "1",
            "--json",
            str(numbers),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for row in (
        "| measured |",
        "| least by kernels: ",
        "| int4, block 128 |",
        "| profile of a step, context 24 |",
        "| packing the weights |",
    ):
        assert row in done.stdout
    made = "byte" if cache == "latent-int8" else "float"
    assert f"\n| K·qᵀ, {made} rows |" in done.stdout and f"\n| P·C, {made} rows |" in done.stdout
    found = json.loads(numbers.read_text(encoding="utf-8"))
    short, long = found["steps"]
    assert (short["tokens"], long["tokens"]) == (8, 24)
    assert long["bytes"] - short["bytes"] == 16 * found["work"]["cache_bytes"]
    bundle = Bundle.open(nano_bundle(cache=cache))
    graph = onnx.load(bundle.file(names.MODEL), load_external_data=False).graph
    assert short["profile"]["MatMulNBits"][0] == sum(node.op_type == "MatMulNBits" for node in graph.node)


@NATIVE
def test_with_native_kernels_it_says_what_each_operator_reads(nano_bundle, tmp_path: Path):
    numbers, bundle = tmp_path / "numbers.json", Bundle.open(nano_bundle())
    command = [sys.executable, "-m", "benchmarks.roofline", str(bundle.path), "--context", "24", "-t", "1", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--kernels", "native", "--json", str(numbers)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, layers = json.loads(numbers.read_text(encoding="utf-8")), architecture_of(bundle.manifest.model).num_hidden_layers
    [step], work = found["steps"], found["work"]
    assert found["kernels"].startswith("native (") and step["kernels"] == []
    assert step["profile"]["LatentAttention"][0] == layers and "MatMulNBits" not in step["profile"]
    assert work == asdict(Work.of(bundle.manifest, onnx.load(bundle.file(names.MODEL), load_external_data=False).graph))
    read = {"Linear": work["int4_bytes"], "LatentAttention": work["absorbed_bytes"] + 24 * work["cache_bytes"]}
    for name, size in read.items():
        milliseconds = step["profile"][name][1] * 1e3
        assert f"\n| {name} | {size / 1e6:.4g} | {milliseconds:.3g} | " in done.stdout
    assert "least by kernels" not in done.stdout and "| all other operators | |" in done.stdout


def test_other_bundles_are_refused(nano_bundle):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.roofline", str(nano_bundle("fp32"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "int4 bundles for the CPU" in done.stderr
