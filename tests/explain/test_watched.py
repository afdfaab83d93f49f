"""What a watched decoder says of gates and rows is what PyTorch's model computes, however a text is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.explain.conftest import Bundles
from tests.families.microreason.tiny import VOCABULARY, WINDOW, training_model, write_tiny
from training.microreason.cache import Cache
from youtu_onnx import export
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.explain.kept import KEPT, LEFT, WITHIN, Kept
from youtu_onnx.explain.watched import WatchedDecoder
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.microreason.modeling import MicroReasonDecoderLayer
from youtu_onnx.families.microreason.reference import MICROREASON_REFERENCE
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel

IDS = np.random.default_rng(3).integers(4, VOCABULARY, 60).tolist()


def opened(path: Path) -> WatchedDecoder:
    return WatchedDecoder(OrtModel(Bundle.open(path), threads=1))


def kept(decoder: WatchedDecoder) -> Kept:
    found = decoder.kept
    assert found is not None
    return found


@pytest.mark.parametrize("form", ["routed", "masked"])
@pytest.mark.parametrize("sizes", [[60], [1] * 60, [25, *[1] * 10, 25]], ids=["whole", "by tokens", "chunks"])
def test_gates_and_rows_are_those_of_pytorch(checkpoint: Path, bundles: Bundles, form: str, sizes: list[int]) -> None:
    decoder, start = opened(bundles(form)), 0
    model, cache = training_model(checkpoint), Cache()
    for size in sizes:
        logits = decoder.decode(IDS[start : start + size])
        with torch.no_grad():
            wanted = model(torch.tensor([IDS[start : start + size]]), cache=cache)[0].numpy()
        assert np.abs(logits - wanted).max() < 1e-4
        start += size
    with torch.no_grad():
        gates = [(gate > 0).reshape(-1).numpy() for gate in model.model(torch.tensor([IDS])).gates]
    found = kept(decoder)
    assert np.array_equal(found.gates, np.stack(gates)) and 0.2 < found.gates.mean() < 0.8
    assert list(found.rows) == (cache.rows if form == "routed" else [60] * 3)
    assert [int(row) for row in (found.states > LEFT).sum(1)] == cache.rows  # what a routed cache has, in either form


def test_pairs_are_those_of_the_reference_s_masks(checkpoint: Path, bundles: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    masks, visible = [], MicroReasonDecoderLayer.visible

    def seen(layer: MicroReasonDecoderLayer, states: torch.Tensor) -> torch.Tensor:
        masks.append(visible(layer, states))
        return masks[-1]

    monkeypatch.setattr(MicroReasonDecoderLayer, "visible", seen)
    MICROREASON_REFERENCE.logits(Checkpoint.open(checkpoint), [IDS])
    decoder = opened(bundles("routed"))
    decoder.prefill(IDS)
    found = kept(decoder)
    assert [int(mask.sum()) for mask in masks] == list(found.pairs)
    for mask, states in zip(masks, found.states, strict=True):
        last = mask[0, 0, -1].numpy()
        assert np.array_equal(states[:-WINDOW] == KEPT, last[:-WINDOW])
    assert found.all_pairs == 3 * 60 * 61 // 2 and found.all_rows == 180
    assert set(np.unique(found.states[:, -WINDOW + 1 :])) == {WITHIN, KEPT}


def test_rows_that_stay_are_those_whose_bytes_stay(bundles: Bundles) -> None:
    """Which rows are in a layer's keys, found by their contents: RoPE makes keys of equal tokens differ."""
    model, past, seen = OrtModel(Bundle.open(bundles("routed")), threads=1), None, []
    for at, id_ in enumerate(IDS):
        _, past = model.run(np.array([[id_]]), np.ones((1, at + 1), np.int64), np.array([[at]]), past)
        newest = [value.numpy()[0, :, -1].tobytes() for value in past[::3]]
        seen.append(newest)
    decoder = opened(bundles("routed"))
    decoder.prefill(IDS)
    assert past is not None
    for layer, (value, states) in enumerate(zip(past[::3], kept(decoder).states, strict=True)):
        place = {row[layer]: number for number, row in enumerate(seen)}
        there = [place[value.numpy()[0, :, row].tobytes()] for row in range(value.shape()[2])]
        assert there == np.flatnonzero(states > LEFT).tolist()


def test_a_window_of_one_token(tmp_path: Path) -> None:
    sizes = {"hidden_size": 20, "intermediate_size": 36, "num_attention_heads": 3, "head_dim": 6, "num_hidden_layers": 2}
    folder = write_tiny(tmp_path / "checkpoint", attention_window=1, **sizes)
    decoder = opened(export(str(folder), tmp_path / "bundle", precision="fp32", verify=False).bundle.path)
    decoder.prefill(IDS)
    with torch.no_grad():
        gates = [(gate > 0).reshape(-1).numpy() for gate in training_model(folder).model(torch.tensor([IDS])).gates]
    assert np.array_equal(kept(decoder).gates, np.stack(gates))


def test_a_watched_decoder_is_a_decoder(bundles: Bundles) -> None:
    watched, plain = opened(bundles("routed")), OrtDecoder.open(Bundle.open(bundles("routed")), threads=1)
    assert np.abs(watched.prefill(IDS[:40]) - plain.prefill(IDS[:40])).max() < 1e-4
    assert watched.rows == plain.rows and watched.length == 40 and not watched.rewindable
    with pytest.raises(UsageError, match="isn't taken back in part"):
        watched.rewind(3)
    watched.rewind(0)
    watched.rewind(40)
    assert watched.length == 0 and kept(watched).tokens == 0
    assert np.abs(watched.prefill(IDS[:40]) - plain.decode(IDS[40:41])[0]).max() > 0
    with pytest.raises(UsageError, match="outside the vocabulary"):
        watched.prefill([VOCABULARY])


def test_a_cache_that_its_gates_don_t_explain_is_an_error(bundles: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = opened(bundles("routed"))
    decoder.prefill(IDS[:30])
    decoder._gates[1][:20] = [not gate for gate in decoder._gates[1][:20]]
    with pytest.raises(BundleError, match=r"layer 1 has \d+ rows after 31 tokens"):
        decoder.prefill(IDS[30:31])
