"""What every Decoder does, whichever runtime is underneath."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, ProviderError, UsageError
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK, Decoder
from youtu_onnx.runtimes.opening import open_decoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.padding import left_pad

ADAPTERS = ("ort", "ort-int8", "ort-static", "genai", "genai-int8", "genai-static", "pytorch")
"""``-int8``: over a bundle of int8 weights and cache, the others over float32; ``-static``: over a cache of reserved length."""
BUNDLES = {"": ("fp32",), "int8": ("int8", "latent-int8"), "static": ("fp32", "latent", "dml")}
CONTEXT = 1024
FLOAT, INTEGER = {"rtol": 1e-3, "atol": 2e-4}, {"rtol": 0, "atol": 0.5}
"""What equal logits may differ by. With integers a last bit of a float sum decides some roundings."""
Same = Callable[[Any, Any], None]


def open_adapter(name: str, nano_bundle: Callable[..., Path]) -> Decoder:
    if name == "pytorch":
        from tests.pytorch_decoder import PyTorchDecoder
        from youtu_onnx.families.checkpoint import Checkpoint

        return PyTorchDecoder(Checkpoint.open("youtu-nano"))
    runtime, _, kind = name.partition("-")
    if runtime == "genai":
        pytest.importorskip("onnxruntime_genai")
    return open_decoder(Bundle.open(nano_bundle(*BUNDLES[kind])), runtime, provider="cpu")


@pytest.fixture(scope="module", params=ADAPTERS)
def opened(request: pytest.FixtureRequest, nano_bundle: Callable[..., Path]) -> Iterator[Decoder]:
    decoder = open_adapter(request.param, nano_bundle)
    yield decoder
    decoder.close()


@pytest.fixture
def decoder(opened: Decoder) -> Decoder:
    opened.reset()
    return opened


@pytest.fixture
def same(request: pytest.FixtureRequest) -> Same:
    """Whether logits are equal, as far as those of the adapter can be."""
    called = getattr(request.node, "callspec", None)
    of_bytes = called is not None and str(called.params.get("opened", "")).endswith("-int8")

    def check(left: Any, right: Any) -> None:
        np.testing.assert_allclose(left, right, **(INTEGER if of_bytes else FLOAT))

    return check


@pytest.fixture(scope="module")
def ids() -> list[int]:
    return np.random.default_rng(7).integers(4, 1270, PREFILL_CHUNK + 44).tolist()


def test_it_says_its_sizes(decoder: Decoder) -> None:
    assert (decoder.vocab_size, decoder.context_length, decoder.length) == (1280, CONTEXT, 0)


def test_prefill_gives_the_logits_after_the_last_token(decoder: Decoder, ids: list[int]) -> None:
    logits = decoder.prefill(ids[:9])
    assert (logits.shape, logits.dtype, decoder.length) == ((1280,), np.float32, 9)


def test_decode_gives_a_row_after_each_token(decoder: Decoder, ids: list[int], same: Same) -> None:
    logits = decoder.decode(ids[:9])
    assert (logits.shape, logits.dtype, decoder.length) == ((9, 1280), np.float32, 9)
    decoder.reset()
    same(logits[-1], decoder.prefill(ids[:9]))


def test_step_by_step_equals_all_at_once(decoder: Decoder, ids: list[int], same: Same) -> None:
    at_once = decoder.decode(ids[:12])
    decoder.reset()
    same([decoder.decode([one])[0] for one in ids[:12]], at_once)


def test_a_prefill_longer_than_a_chunk_equals_its_parts(decoder: Decoder, ids: list[int], same: Same) -> None:
    at_once = decoder.prefill(ids)
    assert decoder.length == len(ids) > PREFILL_CHUNK
    decoder.reset()
    for start in range(0, len(ids), 100):
        in_parts = decoder.prefill(ids[start : start + 100])
    same(in_parts, at_once)


def test_a_decode_longer_than_a_chunk_has_every_row(decoder: Decoder, ids: list[int], same: Same) -> None:
    logits = decoder.decode(ids)
    assert logits.shape == (len(ids), 1280)
    decoder.reset()
    same(decoder.prefill(ids), logits[-1])


@pytest.mark.parametrize("count", [1, 5, 19])
def test_rewind_forgets_the_last_tokens(decoder: Decoder, ids: list[int], count: int, same: Same) -> None:
    expected = decoder.decode(ids[:20])
    decoder.rewind(count)
    assert decoder.length == 20 - count
    same(decoder.decode(ids[20 - count : 20]), expected[20 - count :])


def test_rewind_leaves_no_trace(decoder: Decoder, ids: list[int], same: Same) -> None:
    expected = decoder.prefill(ids[:10])
    decoder.reset()
    decoder.prefill(ids[:6] + ids[100:140])
    decoder.rewind(40)
    same(decoder.prefill(ids[6:10]), expected)


def test_rewind_of_nothing_and_of_everything(decoder: Decoder, ids: list[int], same: Same) -> None:
    decoder.rewind(0)
    expected = decoder.prefill(ids[:5])
    decoder.rewind(0)
    assert decoder.length == 5
    decoder.rewind(5)
    assert decoder.length == 0
    same(decoder.prefill(ids[:5]), expected)


@pytest.mark.parametrize("count", [-1, 6])
def test_rewind_refuses_what_is_not_there(decoder: Decoder, ids: list[int], count: int) -> None:
    decoder.prefill(ids[:5])
    with pytest.raises(UsageError, match="holds 5"):
        decoder.rewind(count)
    assert decoder.length == 5


def test_reset_starts_anew(decoder: Decoder, ids: list[int], same: Same) -> None:
    expected = decoder.prefill(ids[:5])
    decoder.decode(ids[50:55])
    decoder.reset()
    assert decoder.length == 0
    same(decoder.prefill(ids[:5]), expected)


def test_the_context_can_be_filled_but_not_exceeded(decoder: Decoder, ids: list[int], same: Same) -> None:
    full = (ids * 4)[:CONTEXT]
    logits = decoder.prefill(full)
    assert decoder.length == CONTEXT and np.isfinite(logits).all()
    with pytest.raises(UsageError, match="1024"):
        decoder.decode([5])
    decoder.rewind(1)
    same(decoder.prefill(full[-1:]), logits)


def test_a_prompt_beyond_the_context_is_refused_with_the_numbers(decoder: Decoder, ids: list[int]) -> None:
    decoder.prefill(ids[:7])
    with pytest.raises(UsageError, match=r"1020 tokens after the 7 in the cache.*1024"):
        decoder.prefill((ids * 4)[:1020])
    assert decoder.length == 7


@pytest.mark.parametrize("method", ["prefill", "decode"])
@pytest.mark.parametrize(("bad", "message"), [([], "no tokens"), ([1280], "1280 is outside"), ([3, -1], "-1 is outside")])
def test_bad_ids_are_refused_and_change_nothing(decoder: Decoder, method: str, bad: list[int], message: str) -> None:
    decoder.prefill([5])
    with pytest.raises(UsageError, match=message):
        getattr(decoder, method)(bad)
    assert decoder.length == 1


def test_numpy_ids_are_ids(decoder: Decoder, ids: list[int], same: Same) -> None:
    expected = decoder.prefill(ids[:5])
    decoder.reset()
    same(decoder.prefill(np.array(ids[:5])), expected)


def test_the_adapters_agree(decoder: Decoder, ids: list[int], nano_bundle: Callable[..., Path], same: Same) -> None:
    reference = open_adapter("ort", nano_bundle)
    same(decoder.decode(ids[:40]), reference.decode(ids[:40]))
    reference.close()


@pytest.mark.parametrize("adapter", ["ort", "ort-static", "genai"])
def test_a_closed_decoder_says_so(adapter: str, nano_bundle: Callable[..., Path]) -> None:
    decoder = open_adapter(adapter, nano_bundle)
    decoder.prefill([5])
    decoder.close()
    decoder.close()
    with pytest.raises(UsageError, match="was closed"):
        decoder.prefill([5])


@pytest.mark.parametrize("target", ["cpu", "dml"])
def test_a_left_padded_batch_equals_its_prompts_alone(
    nano_bundle: Callable[..., Path], ids: list[int], target: str, same: Same
) -> None:
    model = OrtModel(Bundle.open(nano_bundle("fp32", target=target)), "cpu")
    prompts = [ids[:3], ids[10:21], ids[30:31]]
    logits, mask, past = model.run_batch(prompts, pad_id=1)
    decoder = open_decoder(model.bundle, provider="cpu")
    following = [5, 6, 7]
    step, _ = model.run(
        np.array(following)[:, None], np.pad(mask, ((0, 0), (0, 1)), constant_values=1), mask.sum(axis=1, keepdims=True), past
    )
    for row, prompt in enumerate(prompts):
        decoder.reset()
        same(logits[row, -len(prompt) :], decoder.decode(prompt))
        same(step[row], decoder.decode([following[row]]))


def test_left_padding() -> None:
    ids, mask, positions = left_pad([[7, 8], [9]], pad_id=1)
    assert ids.tolist() == [[7, 8], [1, 9]]
    assert mask.tolist() == [[1, 1], [0, 1]]
    assert positions.tolist() == [[0, 1], [0, 0]]
    for empty in ([], [[1], []]):
        with pytest.raises(UsageError):
            left_pad(empty, 1)


@pytest.mark.parametrize(
    ("precision", "form"), [("fp16", "latent"), ("int8", "latent"), ("int4", "latent"), ("int4", "expanded")]
)
def test_ort_runs_every_kind_of_bundle(nano_bundle: Callable[..., Path], ids: list[int], precision: str, form: str) -> None:
    decoder = open_decoder(Bundle.open(nano_bundle(precision, form)))
    at_once = decoder.decode(ids[:20])
    assert at_once.dtype == np.float32
    decoder.rewind(8)
    np.testing.assert_allclose(decoder.decode(ids[12:20]), at_once[12:], atol=0.3 if precision == "int4" else 0.15)
    decoder.close()


def test_a_cache_in_place_equals_one_that_is_returned(
    nano_bundle: Callable[..., Path], ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def logits() -> list[np.ndarray]:
        decoder = open_decoder(Bundle.open(nano_bundle("fp32")))
        taken = [decoder.prefill(ids), decoder.decode(ids[:5])]
        decoder.rewind(30)
        taken += [decoder.decode(ids[:5]), decoder.decode(ids[5:6])]
        decoder.close()
        return taken

    in_place = logits()
    monkeypatch.setattr("youtu_onnx.runtimes.ort.in_place_cache.InPlaceCache.fits", lambda layout, device: False)
    for left, right in zip(in_place, logits(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_genai_refuses_the_expanded_cache(nano_bundle: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="expanded"):
        open_decoder(Bundle.open(nano_bundle("int4", "expanded")), "genai")


def test_genai_missing_is_told_with_the_package(nano_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_genai", None)
    with pytest.raises(ProviderError) as caught:
        open_decoder(Bundle.open(nano_bundle("fp32")), "genai")
    assert "youtu-onnx[genai]" in str(caught.value)


def test_unknown_runtimes_and_impossible_threads_are_refused(nano_bundle: Callable[..., Path]) -> None:
    bundle = Bundle.open(nano_bundle("fp32"))
    with pytest.raises(UsageError, match="unknown runtime"):
        open_decoder(bundle, "tensorrt")
    with pytest.raises(UsageError, match="threads"):
        open_decoder(bundle, threads=0)
    with pytest.raises(UsageError, match="threads"):
        open_decoder(bundle, "genai", threads=2)


def test_a_graph_that_is_none_is_a_damaged_bundle(nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = Bundle.open(nano_bundle("fp32"))
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        open_decoder(Bundle(tmp_path, bundle.manifest))


def test_a_graph_that_contradicts_its_manifest_is_refused(nano_bundle: Callable[..., Path]) -> None:
    latent, expanded = Bundle.open(nano_bundle("int4")), Bundle.open(nano_bundle("int4", "expanded"))
    with pytest.raises(BundleError, match="disagree on inputs"):
        open_decoder(Bundle(latent.path, expanded.manifest))


def test_an_odd_number_of_layers_decodes_in_place_too(tmp_path: Path, same: Same) -> None:
    from tests.exported import Graph, export_tiny
    from tests.tiny_checkpoint import CONFIG, write_checkpoint
    from youtu_onnx.core.recipe import Recipe

    assert CONFIG["num_hidden_layers"] % 2 == 1
    manifest = export_tiny(write_checkpoint(tmp_path / "checkpoint"), tmp_path / "bundle", Recipe("fp32"))
    decoder = open_decoder(Bundle(tmp_path / "bundle", manifest))
    ids = [*range(3, 33)]
    graph = Graph(tmp_path / "bundle", manifest)
    expected, _ = graph.step(np.array([ids]), graph.empty(1))
    decoder.decode(ids[:12])
    decoder.rewind(2)
    rows = [decoder.decode([one])[0] for one in ids[10:20]] + [*decoder.decode(ids[20:])]
    same(rows, expected[0, 10:])
