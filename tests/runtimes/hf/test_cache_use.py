"""A bundle whose cache can drop no tokens, in transformers' hands."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.1")

import torch
from transformers import GenerationConfig, PretrainedConfig

from tests.runtimes.counting_model import V, counting_bundle, logits_after
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM
from youtu_onnx.runtimes.ort.model import OrtModel

IDS = [3, 4, 6, 1, 2, 2, 7]


@pytest.fixture
def counting(nano_bundle: Callable[..., Path], tmp_path: Path) -> ORTYoutuForCausalLM:
    bundle = counting_bundle(tmp_path / "counting", Bundle.open(nano_bundle("fp32")))
    config = PretrainedConfig(vocab_size=V, eos_token_id=None, pad_token_id=0)
    config.use_cache = True
    return ORTYoutuForCausalLM(OrtModel(bundle, "cpu", 1), config, GenerationConfig())


def greedy(ids: list[int], count: int) -> list[int]:
    for _ in range(count):
        ids = [*ids, int(logits_after(ids)[-1].argmax())]
    return ids


def test_it_generates_and_continues(counting: ORTYoutuForCausalLM) -> None:
    made = counting.generate(torch.tensor([IDS]), max_new_tokens=6, do_sample=False)
    assert made[0].tolist() == greedy(IDS, 6)
    first = counting(torch.tensor([IDS[:4]]))
    assert first.past_key_values.get_seq_length() == 4
    second = counting(torch.tensor([IDS[4:]]), past_key_values=first.past_key_values)
    np.testing.assert_array_equal(second.logits[0], logits_after(IDS)[4:])


def test_tokens_are_counted_when_rows_are_copied(counting: ORTYoutuForCausalLM) -> None:
    cache = counting(torch.tensor([IDS])).past_key_values
    twin = copy.deepcopy(cache)
    cache.batch_select_indices(torch.tensor([True]))
    for one in (cache, twin):
        assert one.get_seq_length() == 7
        np.testing.assert_array_equal(counting(torch.tensor([[5]]), past_key_values=one).logits[0], logits_after([*IDS, 5])[-1:])


def test_tokens_can_not_be_dropped(counting: ORTYoutuForCausalLM) -> None:
    cache = counting(torch.tensor([IDS])).past_key_values
    assert cache.is_croppable is False
    with pytest.raises(UsageError, match="can't drop 2 of its 7 tokens"):
        cache.crop(-2)
    assert cache.get_seq_length() == 7
    with pytest.raises(ValueError, match="stateful"):  # transformers' own words
        counting.generate(torch.tensor([IDS]), max_new_tokens=3, do_sample=False, prompt_lookup_num_tokens=2)


def test_a_failure_between_two_steps_leaves_the_cache_as_it_was(
    counting: ORTYoutuForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = counting(torch.tensor([IDS])).past_key_values
    step, steps = OrtModel.step, []

    def failing(model: OrtModel, *arguments: object, **named: object) -> object:
        steps.append(arguments)
        if len(steps) == 2:
            raise BundleError("it broke")
        return step(model, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(OrtModel, "step", failing)
        with pytest.raises(BundleError, match="it broke"):
            counting(torch.ones(1, PREFILL_CHUNK + 1, dtype=torch.int64), past_key_values=cache)
    assert cache.get_seq_length() == 7
    np.testing.assert_array_equal(counting(torch.tensor([[5]]), past_key_values=cache).logits[0], logits_after([*IDS, 5])[-1:])
