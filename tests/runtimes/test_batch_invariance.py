"""``batch_invariant`` steps compute for a sequence what they compute for it in any other company, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.batch import Batch, Chunk, SequenceCache
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.opening import open_batch
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache
from youtu_onnx.runtimes.providers.options import ProviderOptions

IDS = np.random.default_rng(5).integers(4, 1270, 700).tolist()


@pytest.fixture(
    scope="module",
    params=[
        ("int4", "latent", "onnxruntime"),
        ("int4", "latent-int8", "onnxruntime"),
        ("int8", "latent", "onnxruntime"),
        ("int8", "latent-int8", "onnxruntime"),
        ("fp32", "latent", "onnxruntime"),
        ("int4", "latent", "native"),
        ("int8", "latent-int8", "native"),
    ],
)
def batch(request: pytest.FixtureRequest, nano_bundle: Callable[..., Path]) -> Iterator[Batch]:
    precision, cache, kernels = request.param
    if kernels == "native" and library.found() is None:
        pytest.skip("needs pip install ./native")
    options = ProviderOptions(kernels=kernels)
    opened = open_batch(Bundle.open(nano_bundle(precision, cache)), "cpu", 2, options=options)
    assert isinstance(opened, BatchModel) and opened.kernels.startswith(kernels)
    yield opened
    opened.close()


def sequence(batch: Batch, start: int, length: int) -> SequenceCache:
    cache = batch.new_cache()
    batch.step({}, Chunk(cache, IDS[start : start + length], False), batch_invariant=True)
    return cache


def rows(cache: SequenceCache) -> list[np.ndarray]:
    assert isinstance(cache, InPlaceCache)
    return [buffer[: cache.length].copy() for buffer in cache._buffers]


def test_tokens_in_slots_beside_any_others(batch: Batch) -> None:
    begun = [sequence(batch, 40 * one, 20 + 7 * one) for one in range(batch.count)]
    random = np.random.default_rng(0)

    def logits_of(one: int, others: list[int], slots: list[int], chunk: int, logits: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        own = begun[one].copy_prefix(begun[one].length)
        tokens = {slots[0]: (own, 9)}
        for slot, other in zip(slots[1:], others, strict=True):
            tokens[slot] = (begun[other].copy_prefix(begun[other].length), int(random.integers(4, 1270)))
        more = Chunk(batch.new_cache(), IDS[:chunk], logits) if chunk else None
        found = batch.step(tokens, more, batch_invariant=True)
        assert len(found) == len(tokens) + bool(chunk and logits)
        return found[sorted(tokens).index(slots[0])], rows(own)

    for one in range(batch.count):
        alone, stored = logits_of(one, [], [0], 0, False)
        for company in range(batch.count):
            slots = random.permutation(batch.count)[: company + 1].tolist()
            others = random.integers(0, batch.count, company).tolist()
            chunk = int(random.choice([0, 1, 2, 63, 64, 65, 130])) if company < batch.count - 1 else 0
            found, kept = logits_of(one, others, slots, chunk, bool(random.integers(2)))
            assert np.array_equal(found, alone), (one, company, chunk)
            assert all(map(np.array_equal, kept, stored))


@pytest.mark.parametrize("length", [301, 200])
def test_a_prompt_cut_anywhere_beside_any_others(batch: Batch, length: int) -> None:
    """From 64 tokens a chunk on, and with more than 64 in the first."""
    others = [sequence(batch, 300 + 40 * one, 20) for one in range(batch.count - 1)]
    prompt = IDS[:length]

    def prefilled(cuts: list[int], beside: int) -> tuple[np.ndarray, list[np.ndarray]]:
        cache = batch.new_cache()
        for start, end in zip([0, *cuts], [*cuts, length], strict=True):
            tokens = {slot: (others[slot].copy_prefix(20), 7) for slot in range(beside)}
            found = batch.step(tokens, Chunk(cache, prompt[start:end], end == length), batch_invariant=True)
        assert len(found) == beside + 1
        return found[-1], rows(cache)

    whole, stored = prefilled([], 0)
    for cuts in ([128], [65], [100], [length - 64], [66, 130], []):
        for beside in (0, 1, batch.count - 1):
            found, kept = prefilled(cuts, beside)
            assert np.array_equal(found, whole), (cuts, beside)
            assert all(map(np.array_equal, kept, stored))


def test_all_slots_and_a_chunk(batch: Batch) -> None:
    """More than an engine asks for: no slot is left to make the rows even with."""
    begun = [sequence(batch, 40 * one, 20) for one in range(batch.count)]
    for chunk in (64, 65):
        caches = [one.copy_prefix(20) for one in begun]
        beside = batch.new_cache()
        found = batch.step(
            {slot: (cache, 9) for slot, cache in enumerate(caches)}, Chunk(beside, IDS[:chunk], True), batch_invariant=True
        )
        for slot in range(batch.count):
            [alone] = batch.step({0: (begun[slot].copy_prefix(20), 9)}, batch_invariant=True)
            assert np.array_equal(found[slot], alone)
        [alone] = batch.step({}, Chunk(batch.new_cache(), IDS[:chunk], True), batch_invariant=True)
        assert np.array_equal(found[-1], alone)
        assert beside.length == chunk
        assert all(cache.length == 21 for cache in caches)
