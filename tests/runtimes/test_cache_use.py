"""Caches of which tokens can't be dropped, and whose rows aren't one for each: adapters ask the layout, and refuse or adapt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from tests.runtimes.counting_model import LAYOUT, V, counting_bundle, logits_after
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.cache_use import check_kept, droppable, shareable
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.runtimes.opening import open_batch, open_decoder
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.static_cache import StaticCache

IDS = [3, 4, 6, 1, 2, 2, 7]


@pytest.fixture
def bundle(nano_bundle: Callable[..., Path], tmp_path: Path) -> Bundle:
    return counting_bundle(tmp_path / "counting", Bundle.open(nano_bundle("fp32")))


@pytest.fixture
def decoder(bundle: Bundle) -> OrtDecoder:
    return OrtDecoder.open(bundle, threads=1)


@pytest.mark.parametrize("flag", ["uniform", "rewindable", "prefix_shareable"])
def test_what_a_layout_allows(flag: str) -> None:
    every = replace(LAYOUT, uniform=True, rewindable=True, prefix_shareable=True)
    assert droppable(every) and shareable(every)
    lacking = replace(every, **{flag: False})
    assert not shareable(lacking) and droppable(lacking) == (flag == "prefix_shareable")


def test_none_and_all_can_always_be_kept() -> None:
    for kept in (0, 5):
        check_kept(LAYOUT, kept, 5)
    with pytest.raises(UsageError, match="can't drop 2 of its 5 tokens") as caught:
        check_kept(LAYOUT, 3, 5)
    assert caught.value.hint and "again" in caught.value.hint
    check_kept(replace(LAYOUT, uniform=True, rewindable=True), 3, 5)


# ---- the Decoder


def test_tokens_are_counted_and_not_read_off_shapes(decoder: OrtDecoder) -> None:
    np.testing.assert_array_equal(decoder.prefill(IDS[:4]), logits_after(IDS)[3])
    assert decoder.length == 4, "of which 2 rows are kept by one layer and 1 by the other"
    np.testing.assert_array_equal(decoder.decode(IDS[4:]), logits_after(IDS)[4:])
    assert decoder.length == len(IDS)


def test_a_prompt_of_several_steps(decoder: OrtDecoder) -> None:
    ids = [one % V for one in range(PREFILL_CHUNK + 9)]
    np.testing.assert_array_equal(decoder.prefill(ids), logits_after(ids)[-1])
    assert decoder.length == len(ids)


def test_some_tokens_can_not_be_taken_back_and_all_can(decoder: OrtDecoder) -> None:
    assert decoder.rewindable is False
    decoder.prefill(IDS)
    decoder.rewind(0)
    with pytest.raises(UsageError, match="can't drop 2 of its 7 tokens"):
        decoder.rewind(2)
    assert decoder.length == 7
    np.testing.assert_array_equal(decoder.decode([5]), logits_after([*IDS, 5])[-1:])
    decoder.rewind(8)
    assert decoder.length == 0
    np.testing.assert_array_equal(decoder.decode([5]), logits_after([5]))


def test_a_failure_between_two_steps_leaves_the_sequence_as_it_was(decoder: OrtDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.prefill(IDS)
    append, steps = OrtModel.append, []

    def failing(model: OrtModel, *arguments: object, **named: object) -> np.ndarray:
        steps.append(arguments)
        if len(steps) == 2:
            raise BundleError("it broke")
        return append(model, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(OrtModel, "append", failing)
        with pytest.raises(BundleError, match="it broke"):
            decoder.decode([1] * (PREFILL_CHUNK + 1))
    assert decoder.length == 7
    np.testing.assert_array_equal(decoder.decode([5]), logits_after([*IDS, 5])[-1:])


def test_a_layout_that_can_drop_tokens_is_rewindable(nano_bundle: Callable[..., Path]) -> None:
    assert open_decoder(Bundle.open(nano_bundle("fp32"))).rewindable is True


def test_genai_refuses_what_it_would_misread(bundle: Bundle) -> None:
    bundle.file("genai_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="layers hold different numbers of tokens") as caught:
        open_decoder(bundle, "genai")
    assert caught.value.hint and "--runtime ort" in caught.value.hint


# ---- the Batch


def test_sequences_take_turns_and_share_nothing(bundle: Bundle) -> None:
    batch = open_batch(bundle, threads=1)
    assert batch.prefix_shareable is False
    one, other = batch.new_cache(), batch.new_cache()
    [row] = batch.step({}, Chunk(one, IDS, True))
    np.testing.assert_array_equal(row, logits_after(IDS)[-1])
    rows = batch.step({0: (one, 5), 2: (other, 6)})
    np.testing.assert_array_equal(rows, [logits_after([*IDS, 5])[-1], logits_after([6])[-1]])
    assert (one.length, other.length) == (8, 1)
    for refused in (lambda: one.truncate(3), lambda: one.copy_prefix(3)):
        with pytest.raises(UsageError, match="can't drop 5 of its 8 tokens"):
            refused()
    whole = one.copy_prefix(8)
    rows = batch.step({0: (one, 1), 1: (whole, 2)})
    np.testing.assert_array_equal(rows, [logits_after([*IDS, 5, 1])[-1], logits_after([*IDS, 5, 2])[-1]])
    one.truncate(0)
    assert one.length == 0 and one.nbytes == 0
    batch.close()


@pytest.mark.parametrize("flag", ["uniform", "rewindable"])
def test_a_batch_adds_to_caches_in_place_only_where_each_token_has_a_row_that_can_be_dropped(
    nano_bundle: Callable[..., Path], flag: str
) -> None:
    """What steps return is the same."""
    bundle = Bundle.open(nano_bundle("fp32"))
    layout = replace(bundle.manifest.cache, **{flag: False})
    found = []
    for manifest in (bundle.manifest, replace(bundle.manifest, cache=layout)):
        batch = BatchModel(Bundle(bundle.path, manifest), 1)
        caches = [batch.new_cache() for _ in range(2)]
        logits = [batch.step({}, Chunk(caches[0], IDS, True)), batch.step({3: (caches[0], 5)}, Chunk(caches[1], IDS[:3], True))]
        logits.append(batch.step({3: (caches[0], 6), 6: (caches[1], 7)}, batch_invariant=True))
        assert [cache.length for cache in caches] == [9, 4]
        assert caches[0].nbytes == (256 if manifest is bundle.manifest else 9) * batch.bytes_per_token
        assert batch.returns_caches is not batch.prefix_shareable is (manifest is bundle.manifest)
        found.append(np.concatenate(logits))
        batch.close()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("flag", ["uniform", "rewindable"])
def test_buffers_of_a_reserved_length_hold_a_row_for_each_token(flag: str) -> None:
    layout: CacheLayout = replace(LAYOUT, uniform=True, rewindable=True, length=16)
    assert StaticCache(layout, "cpu").length == 0
    with pytest.raises(BundleError, match="reserved length"):
        StaticCache(replace(layout, **{flag: False}), "cpu")
