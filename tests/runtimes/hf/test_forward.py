"""One call of the model: logits, loss, and what they cost."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.1")

import torch

from tests.runtimes.hf.inputs import TOLERANCE, VECTORS, random_ids
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM


@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_logits_of_a_batch(model, reference, padding: str) -> None:
    ids, mask = random_ids(3, 9), torch.ones(3, 9, dtype=torch.long)
    if padding != "none":
        mask[0, slice(0, 4) if padding == "left" else slice(6, 9)] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        expected = reference(ids, attention_mask=mask, position_ids=positions).logits
    made = model(ids, attention_mask=mask)
    assert made.logits.dtype == model.dtype == torch.float32 and made.loss is None
    torch.testing.assert_close(made.logits[mask.bool()], expected[mask.bool()], atol=TOLERANCE, rtol=0)
    assert made.logits.isfinite().all()


def test_logits_of_the_shared_vectors(model) -> None:
    for one, row in zip(VECTORS["greedy"], VECTORS["logits"], strict=True):
        np.testing.assert_allclose(model(torch.tensor([one["ids"]])).logits[0, -1], row, atol=TOLERANCE)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_any_way_of_cutting_a_text_gives_the_same_logits(model, batch_size: int) -> None:
    ids = random_ids(batch_size, PREFILL_CHUNK + 30)
    whole = model(ids).logits
    assert whole.shape == (batch_size, PREFILL_CHUNK + 30, 1280)
    for keep in (1, 2, 40, PREFILL_CHUNK + 5):
        torch.testing.assert_close(model(ids, logits_to_keep=keep).logits, whole[:, -keep:], atol=TOLERANCE, rtol=0)
    chosen = torch.tensor([3, 500, 541])
    torch.testing.assert_close(model(ids, logits_to_keep=chosen).logits, whole[:, chosen], atol=TOLERANCE, rtol=0)
    first = model(ids[:, :7])
    second = model(ids[:, 7:100], past_key_values=first.past_key_values)
    assert second.past_key_values is first.past_key_values and first.past_key_values.get_seq_length() == 100
    torch.testing.assert_close(torch.cat([first.logits, second.logits], 1), whole[:, :100], atol=TOLERANCE, rtol=0)


def test_loss(model, reference) -> None:
    ids, labels = random_ids(2, 8), random_ids(2, 8)
    labels[0, :3] = -100
    with torch.no_grad():
        expected = reference(ids, labels=labels)
    made = model(ids, labels=labels, logits_to_keep=2)
    torch.testing.assert_close(made.loss, expected.loss, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(made.logits, expected.logits[:, -2:], atol=TOLERANCE, rtol=0)


def test_a_tuple_and_no_cache(model) -> None:
    ids = random_ids(1, 4)
    logits, cache = model(ids, return_dict=False)
    assert logits.shape == (1, 4, 1280) and cache.get_seq_length() == 4
    assert model(ids, use_cache=False).past_key_values is None


def spy(model: ORTYoutuForCausalLM, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """New tokens of each step, and rows of logits that came back."""
    steps, real = [], model.model.step

    def step(input_ids: np.ndarray, *inputs: Any, **options: Any) -> Any:
        logits, binding = real(input_ids, *inputs, **options)
        assert logits.base is None or logits.base.shape == logits.shape, "a view of more rows than were wanted"
        steps.append((input_ids.shape[1], logits.shape[1]))
        return logits, binding

    monkeypatch.setattr(model.model, "step", step)
    return steps


def test_a_long_prompt_costs_one_row_of_logits(model, monkeypatch) -> None:
    steps = spy(model, monkeypatch)
    ids = random_ids(1, PREFILL_CHUNK + 20)
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, min_new_tokens=3)
    assert steps == [(PREFILL_CHUNK, 1), (20, 1), (1, 1), (1, 1)]
    steps.clear()
    model.generate(
        ids[:, :100],
        attention_mask=torch.ones(1, 100, dtype=torch.long),
        max_new_tokens=2,
        min_new_tokens=2,
        prompt_lookup_num_tokens=3,
    )
    assert steps[0][1] == 1 and all(rows <= 4 for _, rows in steps)


def test_a_failed_step_leaves_the_cache_as_it_was(model, monkeypatch) -> None:
    ids, real, calls = random_ids(1, PREFILL_CHUNK + 9), model.model.step, []
    cache = model(ids[:, :3]).past_key_values

    def fail_at_second(*inputs: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise ResourceError("out of memory")
        return real(*inputs, **options)

    with monkeypatch.context() as patched:
        patched.setattr(model.model, "step", fail_at_second)
        with pytest.raises(ResourceError):
            model(ids[:, 3:], past_key_values=cache)
    assert cache.get_seq_length() == 3
    torch.testing.assert_close(
        model(ids[:, 3:6], past_key_values=cache).logits, model(ids[:, :6]).logits[:, 3:], atol=TOLERANCE, rtol=0
    )


def test_a_reply_ends_where_the_context_does(model, caplog) -> None:
    ids = random_ids(1, 1018)
    with caplog.at_level(logging.WARNING, "youtu_onnx.runtimes.huggingface.model"):
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=50, eos_token_id=[])
    assert made.shape[1] == 1024 and "the model's context" in caplog.text
    with pytest.raises(UsageError, match="more than the context of 1024"):
        model(torch.zeros(1, 1025, dtype=torch.long))
