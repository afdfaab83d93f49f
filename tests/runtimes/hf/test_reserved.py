"""A cache of reserved length, as DirectML's bundles have it, gives what one that grows gives, up to its last row."""

from __future__ import annotations

import logging
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
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM

LENGTH = CACHES["reserved"]["max_length"]


@pytest.fixture(scope="module")
def reserved(nano_bundle: Callable[..., Path]) -> Iterator[ORTYoutuForCausalLM]:
    with ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp32", **CACHES["reserved"]), provider="cpu", threads=1) as opened:
        yield opened


MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "without cache": {"use_cache": False, "max_new_tokens": 6},
    "prefill in chunks": {"prefill_chunk_size": 5},
    "several samples": {"do_sample": True, "temperature": 1.5, "num_return_sequences": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.5},
    "guidance": {"guidance_scale": 1.5, "max_new_tokens": 8},
}


@pytest.mark.parametrize("options", MODES.values(), ids=MODES)
def test_a_left_padded_batch_gives_the_same_tokens(model, reserved, batch, options: dict[str, Any]) -> None:
    assert generated(reserved, batch, **options).tolist() == generated(model, batch, **options).tolist()


def test_guesses_that_were_wrong_leave_no_trace(model, reserved, single) -> None:
    expected = generated(model, single, max_new_tokens=24)
    for helper in ({"prompt_lookup_num_tokens": 4}, {"assistant_model": model}):
        assert generated(reserved, single, max_new_tokens=24, **helper).tolist() == expected.tolist()


@pytest.mark.parametrize("side", ["left", "right"])
def test_steps_that_are_padding_in_every_sequence(model, reserved, side: str) -> None:
    """Where such a step ends is not in its mask."""
    ids, mask = random_ids(2, 12), torch.ones(2, 12, dtype=torch.long)
    mask[0, slice(0, 7) if side == "left" else slice(5, 12)] = 0
    mask[1, slice(0, 6) if side == "left" else slice(6, 12)] = 0
    expected = model(ids, attention_mask=mask).logits
    cache, rows = None, []
    for start in range(0, 12, 4):
        made = reserved(ids[:, start : start + 4], attention_mask=mask[:, : start + 4], past_key_values=cache)
        cache = made.past_key_values
        rows.append(made.logits)
    same(torch.cat(rows, 1)[mask.bool()], expected[mask.bool()])


def test_a_reply_ends_where_the_reserved_rows_do(model, reserved, caplog) -> None:
    ids = random_ids(1, LENGTH - 6)
    with caplog.at_level(logging.WARNING, "youtu_onnx.runtimes.huggingface.model"):
        made = reserved.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=50, eos_token_id=[])
    assert made.shape[1] == LENGTH and "what the bundle reserves" in caplog.text
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, eos_token_id=[])
    assert made.tolist() == expected.tolist()
    cache = reserved(made).past_key_values
    assert (cache.get_seq_length(), cache.get_max_length()) == (LENGTH, LENGTH)
    with pytest.raises(UsageError, match=f"1 tokens after the {LENGTH} in the cache are more than the {LENGTH} that this bundle"):
        reserved(made[:, :1], past_key_values=cache)


def test_float16(nano_bundle: Callable[..., Path]) -> None:
    """What DirectML runs; logits are float32 for whoever asks."""
    with ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp16", **CACHES["reserved"]), provider="cpu", threads=1) as model:
        for one, row in zip(VECTORS["greedy"], VECTORS["logits"], strict=True):
            made = model(torch.tensor([one["ids"]]))
            assert made.logits.dtype == torch.float32
            np.testing.assert_allclose(made.logits[0, -1], row, atol=0.05)
        assert {array.dtype for array in made.past_key_values.arrays()} == {np.dtype(np.float16)}
