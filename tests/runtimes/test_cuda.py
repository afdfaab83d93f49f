"""A machine with an NVIDIA GPU: ``pytest tests/runtimes/test_cuda.py`` there says whether the bundles for it are right.

Needs onnxruntime-gpu with its libraries and the driver (docs/deploy/cuda.md), and what exporting needs; all tests are
skipped, with the reason, where CUDA doesn't start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli_process import failed, run
from tests.consumers.test_vectors import TOLERANCES, VECTORS
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.probe import probe

EXACT = ProviderOptions(use_tf32=False)
"""TF32 rounds the factors of float32 products to 10 bits: faster, and not what these tests ask about."""
Open = Callable[..., OrtDecoder]


@pytest.fixture(scope="module", autouse=True)
def gpu() -> None:
    found = probe("CUDAExecutionProvider")
    if not found.works:
        pytest.skip(f"CUDA does not start here: {found.detail}")


@pytest.fixture(scope="module")
def opened(nano_bundle: Callable[..., Path]) -> Iterator[Open]:
    """``opened(precision, cache)`` → the decoder of a bundle for CUDA, empty; each is opened once."""
    made: dict[tuple[str, str], OrtDecoder] = {}

    def decoder(precision: str = "fp32", cache: str = "latent") -> OrtDecoder:
        if (precision, cache) not in made:
            bundle = Bundle.open(nano_bundle(precision, cache, target="cuda"))
            made[precision, cache] = OrtDecoder.open(bundle, options=EXACT, require_provider=True)
        made[precision, cache].reset()
        return made[precision, cache]

    yield decoder
    for one in made.values():
        one.close()


@pytest.mark.parametrize("cache", ["latent", "expanded"])
def test_greedy_tokens_in_float32(opened: Open, cache: str) -> None:
    decoder = opened("fp32", cache)
    for one in VECTORS["greedy"]:
        decoder.reset()
        row, found = decoder.prefill(one["ids"]), []
        while len(found) < len(one["tokens"]):
            found.append(int(row.argmax()))
            row = decoder.decode(found[-1:])[-1]
        assert found == one["tokens"], one["text"]


@pytest.mark.parametrize("precision", TOLERANCES)
def test_logits_are_within_tolerance_of_pytorch(opened: Open, precision: str) -> None:
    """Tolerances are those of tests/consumers/test_vectors.py, in which logits reach from -20 to 20."""
    decoder = opened(precision)
    for one, expected in zip(VECTORS["greedy"], VECTORS["logits"], strict=True):
        decoder.reset()
        assert np.abs(decoder.prefill(one["ids"]) - np.array(expected)).max() <= TOLERANCES[precision], one["text"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
@pytest.mark.parametrize("cache", ["latent", "expanded"])
def test_no_node_that_belongs_on_the_gpu_is_on_the_cpu(opened: Open, precision: str, cache: str) -> None:
    placement = opened(precision, cache).model.placement
    assert placement.nodes["cuda"] > 10 * placement.nodes.get("cpu", 0), placement.summary()
    assert not placement.unexpected, [str(stray) for stray in placement.unexpected]


@pytest.mark.parametrize("cache", ["latent", "expanded"])
def test_the_cache_stays_on_the_gpu_from_step_to_step(opened: Open, cache: str) -> None:
    model = opened("fp16", cache).model
    _, first = model.run(np.array([[5, 6]]), np.ones((1, 2)), np.array([[0, 1]]))
    _, second = model.run(np.array([[7]]), np.ones((1, 3)), np.array([[2]]), first)
    for past, present in zip(first, second, strict=True):
        assert (past.device_name(), present.device_name()) == ("cuda", "cuda")
        assert present.shape()[2] == past.shape()[2] + 1
        np.testing.assert_array_equal(present.numpy()[:, :, :2], past.numpy())


def test_logits_are_those_of_their_own_step(opened: Open) -> None:
    """A copy to the host that is read before it is done gives rows of the step before: many steps in a row would show it."""
    decoder = opened("fp32")
    ids = np.random.default_rng(3).integers(4, 1270, 200).tolist()
    at_once = decoder.decode(ids)
    decoder.reset()
    one_by_one = np.stack([decoder.decode([one])[0] for one in ids])
    np.testing.assert_allclose(one_by_one, at_once, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "int4"])
@pytest.mark.parametrize("count", [1, 7, 20])
def test_rewind(opened: Open, precision: str, count: int) -> None:
    decoder, ids = opened(precision), list(range(5, 25))
    expected = decoder.decode(ids)
    decoder.decode([100, 101])
    decoder.rewind(2 + count)
    assert decoder.length == 20 - count
    np.testing.assert_allclose(decoder.decode(ids[20 - count :])[-1], expected[-1], atol=1e-3 if precision == "fp32" else 0.3)


def test_a_left_padded_batch_equals_its_prompts_alone(opened: Open) -> None:
    decoder = opened("fp32")
    prompts = [[5, 6, 7], [*range(20, 31)], [9]]
    logits, mask, past = decoder.model.run_batch(prompts, pad_id=0)
    step, _ = decoder.model.run(
        np.array([[11], [12], [13]]), np.pad(mask, ((0, 0), (0, 1)), constant_values=1), mask.sum(axis=1, keepdims=True), past
    )
    for row, prompt in enumerate(prompts):
        decoder.reset()
        np.testing.assert_allclose(logits[row, -len(prompt) :], decoder.decode(prompt), atol=1e-3)
        np.testing.assert_allclose(step[row], decoder.decode([11 + row]), atol=1e-3)


def test_options_are_those_that_the_session_runs_with(nano_bundle: Callable[..., Path]) -> None:
    bundle = Bundle.open(nano_bundle("fp32", target="cuda"))
    wanted = ProviderOptions(device_id=0, gpu_mem_limit=1 << 30, arena_extend_strategy="kSameAsRequested", use_tf32=False)
    model = OrtModel(bundle, options=wanted)
    runs_with = model.session.get_provider_options()["CUDAExecutionProvider"]
    assert {key: runs_with[key] for key in wanted.given()} == wanted.given()
    model.close()
    with pytest.raises(UsageError, match="no option nonsense") as caught:
        OrtModel(bundle, options=ProviderOptions.of({"nonsense": "1"}))
    assert "use_tf32" in str(caught.value)


def test_a_gpu_that_is_not_there(nano_bundle: Callable[..., Path]) -> None:
    text = failed(run("generate", nano_bundle("fp32", target="cuda"), "-p", "x", "--device", "99"), 4)
    assert "[E:onnxruntime" not in text and len([line for line in text.splitlines() if line.startswith("error:")]) == 1
