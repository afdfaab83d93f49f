"""The cache in transformers' hands: reordered, cropped, copied, continued."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.1")

import torch

from tests.consumer_bundles import CACHES
from tests.runtimes.hf.inputs import VECTORS, generated, random_ids, same
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.huggingface.cache import OrtCache
from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM
from youtu_onnx.runtimes.ort.decoder import OrtDecoder

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: ("fp32", options) for name, options in CACHES.items()},
    "halves": ("int4", {"cache": "latent-fp16"}),
    "bytes": ("int4", {"cache": "latent-int8"}),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request, nano_bundle: Callable[..., Path]) -> Iterator[ORTYoutuForCausalLM]:
    precision, options = request.param
    with ORTYoutuForCausalLM.from_pretrained(nano_bundle(precision, **options), provider="cpu", threads=1) as opened:
        yield opened


def rounds(model: ORTYoutuForCausalLM) -> bool:
    return model.model.bundle.manifest.recipe.quantized


def follow(model: ORTYoutuForCausalLM, cache: OrtCache) -> torch.Tensor:
    """Logits of token 30 behind each sequence."""
    return model(torch.full((cache.batch_size, 1), 30), past_key_values=cache).logits


def test_rows_are_reordered_repeated_and_selected(kind) -> None:
    ids = random_ids(3, 6)
    alone = follow(kind, kind(ids).past_key_values)
    changes = {"reorder_cache": ([2, 0, 0], [2, 0, 0]), "batch_select_indices": ([1], [1])}
    for name, (wanted, expected) in changes.items():
        cache = kind(ids).past_key_values
        getattr(cache, name)(torch.tensor(wanted))
        assert (cache.batch_size, cache.get_seq_length()) == (len(expected), 6)
        same(follow(kind, cache), alone[expected], rounded=rounds(kind))
    cache = kind(ids).past_key_values
    cache.batch_select_indices(torch.tensor([False, True, True]))
    same(follow(kind, cache), alone[1:], rounded=rounds(kind))
    one = kind(ids[:1]).past_key_values
    one.batch_repeat_interleave(2)
    same(follow(kind, one), alone[[0, 0]], rounded=rounds(kind))


def test_tokens_are_dropped(kind) -> None:
    for size in (1, 2):
        ids = random_ids(size, 9)
        expected = follow(kind, kind(ids[:, :6]).past_key_values)
        for argument in (-3, 6):  # what it means now, and what it meant in older releases
            cache = kind(ids).past_key_values
            cache.crop(argument)
            assert cache.get_seq_length() == 6
            same(follow(kind, cache), expected, rounded=rounds(kind))
        with pytest.raises(UsageError, match="the cache holds 7"):
            cache.crop(-8)
        cache.reset()
        assert (cache.get_seq_length(), cache.batch_size, cache.is_initialized) == (0, -1, False)
        same(kind(ids, past_key_values=cache).logits, kind(ids).logits, rounded=rounds(kind))


def test_a_copied_cache_goes_its_own_way(kind) -> None:
    """A common beginning is computed once, and copied for each text that starts so."""
    for size in (1, 2):
        ids = random_ids(size, 12)
        start = kind(ids[:, :8]).past_key_values
        twin = copy.deepcopy(start)
        found = kind(ids[:, 8:], past_key_values=twin).logits
        assert (start.get_seq_length(), twin.get_seq_length()) == (8, 12)
        same(found, kind(ids).logits[:, 8:], rounded=rounds(kind))
        same(follow(kind, start), follow(kind, kind(ids[:, :8]).past_key_values), rounded=rounds(kind))


def test_generate_continues_a_cache(model, reference, single) -> None:
    more = torch.cat([single["input_ids"], random_ids(1, 5)], 1)
    cache = model(single["input_ids"]).past_key_values
    found = model.generate(more, attention_mask=torch.ones_like(more), past_key_values=cache, max_new_tokens=8)
    expected = reference.generate(more, attention_mask=torch.ones_like(more), max_new_tokens=8)
    assert found.tolist() == expected.tolist()
    assert cache.get_seq_length() == found.shape[1] - 1


def test_beams_over_every_cache(kind, reference, batch) -> None:
    found = generated(kind, batch, num_beams=3, max_new_tokens=10)
    if kind.model.bundle.manifest.cache.dtype == "float32":
        assert found.tolist() == generated(reference, batch, num_beams=3, max_new_tokens=10).tolist()
        return
    assert found.tolist() == generated(kind, batch, num_beams=3, max_new_tokens=10, use_cache=False).tolist()


def test_the_int8_cache_gives_what_the_decoder_gives(nano_bundle) -> None:
    path = nano_bundle("int4", "latent-int8")
    ids = VECTORS["greedy"][0]["ids"]
    decoder = OrtDecoder.open(Bundle.open(path), threads=1)
    row, expected = decoder.prefill(ids), []
    for _ in range(20):
        expected.append(int(row.argmax()))
        row = decoder.decode(expected[-1:])[-1]
    with ORTYoutuForCausalLM.from_pretrained(path, threads=1) as model:
        made = model.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=20, min_new_tokens=20, eos_token_id=[]
        )
        assert made[0, len(ids) :].tolist() == expected
        assert {array.dtype for array in model(torch.tensor([ids])).past_key_values.arrays()} == {np.dtype(np.uint8)}
